//! `convert`: Stash's manifests become KubeStash's, offline, and everything that could not be carried is said. What is
//! decided stands in `decide::convert`; here are files, checks and words.

mod check;
mod files;
mod report;

use std::path::PathBuf;

use serde_json::{Value, json};

use self::files::Written;
pub use self::report::Report;
use super::validate::files as manifests;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::decide::convert::{Conversion, Level, Options, convert};
use crate::output::format::{Format, Shape};
use crate::output::human;
use crate::yaml;

/// Turn manifests of Stash into manifests of KubeStash
///
/// Reads Repositories, BackupConfigurations, BackupBatches, BackupBlueprints, RestoreSessions and RestoreBatches of
/// stash.appscode.com, asks no cluster, and says of every field that could not be carried why, and what to do. Give the
/// Secrets, AppBindings and workloads that they speak of as well, and less is left to fill in. Nothing is overwritten
/// without --force. Ends with 4 when something could not be carried or is left to fill in.
///
/// Examples:
///   kubectl kubestash convert --source-dir stash/ --target-dir kubestash/
///   kubectl kubestash convert -f backup.yaml -o yaml
///   kubectl get repository,backupconfiguration -n demo -o yaml | kubectl kubestash convert -f - --report report.json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct ConvertArgs {
    /// Directory to read, with everything below it
    #[arg(long, value_name = "DIR")]
    source_dir: Option<PathBuf>,
    /// File, directory with everything below it, or - for standard input; may be repeated
    #[arg(short, long, value_name = "FILE|DIR|-")]
    filename: Vec<String>,
    /// Directory to write, laid out as what was read; standard output when absent
    #[arg(long, value_name = "DIR")]
    target_dir: Option<PathBuf>,
    /// Overwrite files that exist and differ
    #[arg(long, requires = "target_dir")]
    force: bool,
    /// Secret with RESTIC_PASSWORD for all repositories, instead of one made for each
    #[arg(long, value_name = "NAME")]
    encryption_secret_name: Option<String>,
    /// Namespace of that Secret
    #[arg(long, value_name = "NAMESPACE")]
    encryption_secret_namespace: Option<String>,
    /// What converted RestoreSessions restore: latest, or the name of a Snapshot
    #[arg(long, value_name = "NAME")]
    snapshot: Option<String>,
    /// Write what became of every field to a file, as JSON, or as YAML when its name ends so
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Form of the manifests on standard output: yaml or json
    #[arg(short, long, value_name = "FORMAT", value_parser = form, default_value = "yaml", conflicts_with = "target_dir")]
    output: Form,
}

/// The forms of manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Yaml,
    Json,
}

fn form(text: &str) -> Result<Form, String> {
    match text {
        "yaml" => Ok(Form::Yaml),
        "json" => Ok(Form::Json),
        _ => Err("the forms are yaml and json".to_owned()),
    }
}

/// Converts, writes and reports.
///
/// # Errors
/// When a file cannot be read or written, or holds no YAML; when nothing of Stash's is in the files.
#[allow(clippy::unused_async, reason = "every command is awaited")]
pub async fn run(args: &ConvertArgs, context: &Context) -> Result<Exit, CliError> {
    let sources = sources(args);
    if sources.is_empty() {
        let error = CliError::new(
            Exit::Usage,
            "nothing to read: name a directory with --source-dir, or files with -f",
        );
        return Err(error.hint("`kubectl kubestash convert -f - < stash.yaml` reads standard input"));
    }
    files::apart(&sources, args.target_dir.as_deref())?;
    let namespace = context
        .flags
        .namespace
        .clone()
        .unwrap_or_else(|| "default".to_owned());
    let loaded = manifests::load(&sources, true, &namespace)?;
    if !loaded.broken.is_empty() {
        let mut error = CliError::new(
            Exit::Error,
            "nothing was converted, as not every file can be read",
        );
        for problem in &loaded.broken {
            error = error.cause(problem.line());
        }
        return Err(error.hint("templates must be rendered first; leave out what is no manifest"));
    }
    let found = loaded.found;
    let inputs: Vec<Value> = found.iter().map(|f| f.document.value.clone()).collect();
    let options = Options {
        namespace,
        encryption_secret_name: args.encryption_secret_name.clone(),
        encryption_secret_namespace: args.encryption_secret_namespace.clone(),
        snapshot: args.snapshot.clone(),
    };
    let mut made = convert(&inputs, &options);
    if made.converted == 0 {
        return Err(CliError::new(
            Exit::NothingMatched,
            format!(
                "the files hold no objects of stash.appscode.com ({} of others)",
                inputs.len()
            ),
        )
        .hint(
            "`kubectl get repositories.stash.appscode.com,backupconfigurations.stash.appscode.com,restoresessions.stash.appscode.com -A -o yaml` fetches them from a cluster",
        ));
    }
    let checked = check::notes(&made)?;
    made.notes.extend(checked);
    let written = match &args.target_dir {
        Some(target) => files::write(&made, &found, &sources, target, args.force)?,
        None => print(args, context, &made)?,
    };
    let report = Report::new(&made, &found, &written);
    if let Some(path) = &args.report {
        files::write_report(path, &report)?;
    }
    report.tell(context);
    Ok(exit(&made))
}

fn exit(made: &Conversion) -> Exit {
    if made.notes.iter().any(|note| note.level.is_gap()) {
        Exit::Partial
    } else {
        Exit::Ok
    }
}

fn sources(args: &ConvertArgs) -> Vec<String> {
    args.source_dir
        .iter()
        .map(|path| path.to_string_lossy().into_owned())
        .chain(args.filename.iter().cloned())
        .collect()
}

/// Prints the manifests. Secrets are not shown on a terminal.
fn print(args: &ConvertArgs, context: &Context, made: &Conversion) -> Result<Written, CliError> {
    let mut shown: Vec<&Value> = Vec::new();
    for output in &made.outputs {
        if output.object["kind"] == "Secret" && context.ui.data_is_watched() {
            context.ui.warn(&format!(
                "Secret {} is left out, as this is a terminal; --target-dir writes it to a file of mode 0600",
                output.object["metadata"]["name"].as_str().unwrap_or_default()
            ));
        } else {
            shown.push(&output.object);
        }
    }
    if args.output == Form::Json {
        let all = shown.into_iter().cloned().collect();
        Format::Json.print(&context.ui, &Shape::List(all))?;
    } else {
        let mut documents = Vec::new();
        for object in shown {
            documents.push(document(object, made)?);
        }
        context.ui.data(&documents.join("---\n"))?;
    }
    Ok(Written::default())
}

/// An object as YAML, with what is to be filled in on top of it.
fn document(object: &Value, made: &Conversion) -> Result<String, CliError> {
    let mut text = String::new();
    let title = title(object);
    let open: Vec<_> = made
        .notes
        .iter()
        .filter(|note| note.level == Level::ToFillIn)
        .filter_map(|note| Some((note, note.to.strip_prefix(&title)?.strip_prefix(' ')?)))
        .collect();
    if !open.is_empty() {
        text.push_str("# To fill in before it is applied:\n");
    }
    for (note, path) in open {
        let says = [&note.way_out, &note.reason].into_iter().find(|s| !s.is_empty());
        let says = says.map_or_else(String::new, |s| s.replace('\n', " "));
        text.push_str(&format!("#   {path}: {says}\n"));
    }
    let body = yaml::to_string(object)
        .map_err(|e| CliError::new(Exit::Error, format!("{title} cannot be written")).cause(e.to_string()))?;
    text.push_str(&body);
    Ok(text)
}

/// `Kind namespace/name`, as notes name manifests.
fn title(object: &Value) -> String {
    let field = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or("");
    format!(
        "{} {}/{}",
        field("/kind"),
        field("/metadata/namespace"),
        field("/metadata/name")
    )
}

/// A list for JSON files.
fn list(objects: &[&Value]) -> Value {
    match objects {
        [one] => (*one).clone(),
        many => json!({"apiVersion": "v1", "kind": "List", "items": many}),
    }
}

/// `3 manifests`.
fn manifests_counted(count: usize) -> String {
    human::counted(count, "manifest")
}
