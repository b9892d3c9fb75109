//! `completion`: the script of a shell, and its installation. The scripts ask this program for every word, so names of
//! objects are live and a newer program needs no newer script.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use clap_complete::env::Shells;

use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};

/// What scripts set to ask this program.
const VARIABLE: &str = "COMPLETE";
/// The name under which shells find this program.
const PROGRAM: &str = "kubectl-kubestash";
/// What kubectl runs for `kubectl kubestash <TAB>`.
const FOR_KUBECTL: &str = "kubectl_complete-kubestash";

/// Completion of commands, flags and live object names
///
/// Completes `kubectl-kubestash <TAB>` by a script of your shell, and `kubectl kubestash <TAB>` through kubectl's own
/// completion, which calls kubectl_complete-kubestash. `completion install` sets up both.
///
/// Examples:
///   kubectl kubestash completion install
///   source <(kubectl kubestash completion bash)
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct CompletionArgs {
    /// `install`, or the shell whose script is printed
    #[arg(value_enum)]
    what: What,
    /// With `install`: the shell, when it is not the one of the variable SHELL
    #[arg(long, value_name = "SHELL", value_enum)]
    shell: Option<ShellName>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Bash,
    Zsh,
    Fish,
    Powershell,
    Install,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ShellName {
    Bash,
    Zsh,
    Fish,
    Powershell,
}

impl ShellName {
    const fn name(self) -> &'static str {
        match self {
            ShellName::Bash => "bash",
            ShellName::Zsh => "zsh",
            ShellName::Fish => "fish",
            ShellName::Powershell => "powershell",
        }
    }

    /// Where the shell looks for scripts by itself, and what must be said once where it does not.
    fn place(self, home: &Path) -> (PathBuf, Option<String>) {
        match self {
            ShellName::Bash => (
                home.join(".local/share/bash-completion/completions")
                    .join(PROGRAM),
                None,
            ),
            ShellName::Zsh => (
                home.join(".zfunc").join(format!("_{PROGRAM}")),
                Some("fpath=(~/.zfunc $fpath); autoload -Uz compinit; compinit   # in ~/.zshrc".to_owned()),
            ),
            ShellName::Fish => (
                home.join(".config/fish/completions")
                    .join(format!("{PROGRAM}.fish")),
                None,
            ),
            ShellName::Powershell => (
                home.join(".config/powershell").join(format!("{PROGRAM}.ps1")),
                Some(format!(". ~/.config/powershell/{PROGRAM}.ps1   # in $PROFILE")),
            ),
        }
    }
}

/// Prints or installs the script.
///
/// # Errors
/// When it cannot be written.
pub fn run(args: &CompletionArgs, context: &Context) -> Result<Exit, CliError> {
    let shell = match args.what {
        What::Bash => ShellName::Bash,
        What::Zsh => ShellName::Zsh,
        What::Fish => ShellName::Fish,
        What::Powershell => ShellName::Powershell,
        What::Install => return install(args.shell, context),
    };
    if args.shell.is_some() {
        return Err(CliError::usage("--shell is for `completion install`"));
    }
    context.ui.data(&script(shell)?)?;
    Ok(Exit::Ok)
}

/// The script of a shell.
fn script(shell: ShellName) -> Result<String, CliError> {
    let shells = Shells::builtins();
    let completer = shells
        .completer(shell.name())
        .ok_or_else(|| CliError::new(Exit::Error, format!("{} is not known", shell.name())))?;
    let mut script = Vec::new();
    completer.write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut script)?;
    Ok(String::from_utf8_lossy(&script).into_owned())
}

fn install(shell: Option<ShellName>, context: &Context) -> Result<Exit, CliError> {
    let shell = match shell {
        Some(shell) => shell,
        None => current_shell()?,
    };
    let home = env::home_dir().ok_or_else(|| CliError::new(Exit::Error, "there is no home directory"))?;
    let (path, once) = shell.place(&home);
    write(&path, &script(shell)?).map_err(|e| unwritable(&path, &e))?;
    context.ui.say(&format!(
        "The completion of {PROGRAM} for {} is in {}.",
        shell.name(),
        path.display()
    ));
    if let Some(once) = once {
        context.ui.say(&format!("Say once: {once}"));
    }
    let program = env::current_exe().map_err(|e| CliError::file("this program", &e))?;
    let link = link(&program, &home).map_err(|(path, error)| unwritable(&path, &error))?;
    context.ui.say(&format!(
        "`kubectl kubestash <TAB>` is answered by {}.",
        link.display()
    ));
    if !on_path(&link) {
        context.ui.warn(&format!(
            "{} is not on PATH: kubectl does not find it there",
            link.parent().unwrap_or(&link).display()
        ));
    }
    context.ui.say("Start a new shell to use it.");
    Ok(Exit::Ok)
}

fn current_shell() -> Result<ShellName, CliError> {
    let shell = env::var("SHELL").unwrap_or_default();
    let name = Path::new(&shell)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    ShellName::from_str(&name, true).map_err(|_| {
        CliError::usage(if shell.is_empty() {
            "the variable SHELL is not set".to_owned()
        } else {
            format!("there is no completion for {shell}")
        })
        .hint("name one with `--shell bash|zsh|fish|powershell`")
    })
}

fn unwritable(path: &Path, error: &io::Error) -> CliError {
    CliError::new(Exit::Error, format!("{} cannot be written", path.display())).cause(error.to_string())
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, text)
}

/// Links this program under the name that kubectl looks for: beside itself, or where that is not allowed in the user's
/// own directory of programs.
fn link(program: &Path, home: &Path) -> Result<PathBuf, (PathBuf, io::Error)> {
    let beside = program.parent().map(|dir| dir.join(FOR_KUBECTL));
    let own = home.join(".local/bin").join(FOR_KUBECTL);
    let mut last = None;
    for path in beside.into_iter().filter(|p| on_path(p)).chain([own]) {
        match link_at(program, &path) {
            Ok(()) => return Ok(path),
            Err(error) => last = Some((path, error)),
        }
    }
    Err(last.unwrap_or_else(|| (program.to_owned(), io::Error::other("no directory for programs"))))
}

fn on_path(file: &Path) -> bool {
    let paths = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&paths).any(|dir| Some(dir.as_path()) == file.parent())
}

fn link_at(program: &Path, path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    #[cfg(unix)]
    return std::os::unix::fs::symlink(program, path);
    #[cfg(not(unix))]
    return fs::copy(program, path.with_extension("exe")).map(drop);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_scripts_are_current() {
        for shell in [
            ShellName::Bash,
            ShellName::Zsh,
            ShellName::Fish,
            ShellName::Powershell,
        ] {
            let extension = match shell {
                ShellName::Powershell => "ps1",
                other => other.name(),
            };
            let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("completions")
                .join(format!("{PROGRAM}.{extension}"));
            let script = script(shell).unwrap();
            if env::var_os("UPDATE").is_some() {
                write(&path, &script).unwrap();
            }
            assert_eq!(
                fs::read_to_string(&path).unwrap_or_default(),
                script,
                "{}: `UPDATE=1 cargo test --lib completion` writes it",
                path.display()
            );
        }
    }
}
