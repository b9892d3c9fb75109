//! `sandbox up`: starts a sandbox and says how to use it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use tokio::signal::unix::{SignalKind, signal};

use super::UpArgs;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::sandbox::lifecycle::state::Running;
use crate::sandbox::lifecycle::{self, Error, Settings, background};
use crate::sandbox::node::Image;

/// Starts it in the background, or runs it until it is interrupted.
///
/// # Errors
/// When it cannot be started.
pub(super) async fn run(args: &UpArgs, context: &Context) -> Result<Exit, CliError> {
    let program = std::env::current_exe().map_err(|e| CliError::file("this program's own file", &e))?;
    let dir =
        std::path::absolute(args.place.path()).map_err(|e| CliError::file("the working directory", &e))?;
    if restic().is_none() && !args.detached {
        context.ui.warn("restic is not on the PATH (and KUBESTASH_RESTIC is not set): backups in this sandbox will fail until it is installed and the sandbox started again");
    }
    if args.foreground {
        return foreground(args, context, dir, program).await;
    }
    let started = Instant::now();
    let text = dir.display().to_string();
    match background::start(
        &dir,
        &program,
        &["sandbox", "up", "--foreground", "--detached", "--dir", &text],
    )
    .await
    {
        Ok(running) => {
            let seconds = started.elapsed().as_secs_f64();
            context.ui.say(&format!(
                "The sandbox runs at {} (ready after {seconds:.1} s).",
                running.address
            ));
            usage(args, context, &running)?;
            Ok(Exit::Ok)
        }
        Err(Error::RunsAlready {
            running: Some(running),
            ..
        }) => {
            context.ui.say(&format!(
                "The sandbox runs already at {} (process {}).",
                running.address, running.pid
            ));
            usage(args, context, &running)?;
            Ok(Exit::Ok)
        }
        Err(error) => Err(error.into()),
    }
}

/// The one line to evaluate goes to standard output, what is for people to standard error.
fn usage(args: &UpArgs, context: &Context, running: &Running) -> Result<(), CliError> {
    context.ui.say("Use it with kubectl:\n");
    context
        .ui
        .line(&format!("export KUBECONFIG={}", quoted(&running.kubeconfig)))?;
    context.ui.flush()?;
    let down = format!("kubectl kubestash sandbox down{}", args.place.flag());
    context.ui.say(&format!(
        "\nThen `kubectl get nodes`, `kubectl kubestash install`. End it with `{down}`."
    ));
    Ok(())
}

/// A path as a shell reads it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c));
    if plain {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

async fn foreground(
    args: &UpArgs,
    context: &Context,
    dir: PathBuf,
    program: PathBuf,
) -> Result<Exit, CliError> {
    if args.detached {
        // Away from the terminal that started it, so that it outlives it. Fails only for a session's leader.
        let _ = nix::unistd::setsid();
        crate::telemetry::start();
    }
    let listen = |kind| {
        signal(kind)
            .map_err(|e| CliError::new(Exit::Error, "Signals cannot be received").cause(e.to_string()))
    };
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let shutdown = async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    let settings = Settings {
        dir,
        images: images(&program),
        program,
    };
    let ready = |running: &Running| {
        if !args.detached {
            context.ui.say(&format!(
                "The sandbox runs at {}; end it with Ctrl-C.",
                running.address
            ));
            // Whoever does not read this line can ask for it: `sandbox kubeconfig`.
            let _ = context
                .ui
                .line(&format!("export KUBECONFIG={}", quoted(&running.kubeconfig)));
            let _ = context.ui.flush();
        }
    };
    Box::pin(lifecycle::run(settings, shutdown, ready)).await?;
    Ok(Exit::Ok)
}

/// The product's image, made of this program and the restic of this computer.
fn images(program: &Path) -> Vec<Image> {
    let mut files = vec![(PathBuf::from("/kubestash"), program.to_path_buf())];
    files.extend(restic().map(|r| (PathBuf::from("/restic"), r)));
    let chosen = std::env::var("KUBESTASH_IMAGE").ok().filter(|i| !i.is_empty());
    let references = std::iter::once(crate::IMAGE.to_owned()).chain(chosen);
    references
        .map(|reference| Image {
            reference,
            files: files.clone(),
            entrypoint: vec!["/kubestash".to_owned()],
        })
        .collect()
}

/// The restic of this computer: `KUBESTASH_RESTIC`, else the first on the PATH.
fn restic() -> Option<PathBuf> {
    let chosen = std::env::var_os("KUBESTASH_RESTIC")
        .filter(|v| !v.is_empty())
        .map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = || {
        std::env::split_paths(&path)
            .map(|d| d.join("restic"))
            .find(|p| p.is_file())
    };
    let found = chosen.or_else(on_path)?;
    std::fs::canonicalize(found).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_can_be_pasted_into_a_shell() {
        assert_eq!(quoted(Path::new("/a/b-c.d")), "/a/b-c.d");
        assert_eq!(quoted(Path::new("/a b/it's")), "'/a b/it'\\''s'");
    }

    #[test]
    fn the_products_image_brings_this_program() {
        let images = images(Path::new("/here/program"));
        assert_eq!(images[0].reference, crate::IMAGE);
        assert_eq!(
            images[0].files[0],
            (PathBuf::from("/kubestash"), PathBuf::from("/here/program"))
        );
    }
}
