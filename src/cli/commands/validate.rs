//! `validate`: the schema and every rule of admission for files, with the line and column of each mistake. The rules are
//! those of the webhooks, by the same code.

pub(in crate::cli) mod files;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use self::files::{Found, Loaded};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::schemas::{self, View};
use crate::cli::{manifests, strict};
use crate::cluster::{Cluster, Error, Kind, ListOptions, kinds};
use crate::decide::admission::{Facts, admit};
use crate::output::format::Format;
use crate::output::human;
use crate::output::table::printable;

/// Check files against every rule before applying them
///
/// Checks the schema strictly (unknown fields are mistakes) and every rule of the admission webhooks. Rules that compare
/// with other objects see those in the given files and, unless --offline, those in the cluster.
///
/// Examples:
///   kubectl kubestash validate -f backup.yaml
///   kubectl kubestash validate -f manifests/ -R --offline
///   helm template … | kubectl kubestash validate -f -
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct ValidateArgs {
    /// File, directory, or - for standard input; may be repeated
    #[arg(short, long, value_name = "FILE|DIR|-", required = true)]
    filename: Vec<String>,
    /// Directories with everything below them
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Ask no cluster; compare with the given files only
    #[arg(long)]
    offline: bool,
    /// Form of the output: table (one line each), json, yaml or jsonpath=…
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse, default_value = "table")]
    output: Format,
}

/// What is wrong with the files.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Validation {
    /// Whether there is no mistake; warnings are none.
    valid: bool,
    /// How many objects of KubeStash's kinds were checked.
    checked: usize,
    /// The mistakes and warnings, in the order of the files.
    problems: Vec<ProblemView>,
}

impl View for Validation {
    const COMMAND: &'static str = "validate";
    const KIND: &'static str = "Validation";
}

/// A mistake or a warning.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ProblemView {
    /// The file; - is standard input.
    file: String,
    /// The line, from 1.
    line: usize,
    /// The column, from 1.
    column: usize,
    /// The object, as Kind and name; empty where there is none.
    object: String,
    /// The field, such as `spec.sessions[0].name`; empty for the object as a whole.
    path: String,
    /// What is wrong, in a sentence.
    message: String,
    /// How bad it is.
    severity: Severity,
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Severity {
    /// The cluster would refuse the object, or it could not work.
    Error,
    /// Worth a look.
    Warning,
}

/// A mistake, or something worth a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Problem {
    file: String,
    line: usize,
    column: usize,
    object: String,
    path: String,
    message: String,
    warning: bool,
}

impl Problem {
    fn at(found: &Found, pointer: &str, message: &str, warning: bool) -> Self {
        let place = found.document.place(pointer);
        Problem {
            file: found.file.clone(),
            line: place.line,
            column: place.column,
            object: found.title(),
            path: strict::path(pointer),
            message: message.to_owned(),
            warning,
        }
    }

    /// `file:line:column: error: …`.
    pub(in crate::cli) fn line(&self) -> String {
        let kind = if self.warning { "warning" } else { "error" };
        let subject = [self.object.as_str(), self.path.as_str()]
            .into_iter()
            .filter(|s| !s.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
        let subject = if subject.is_empty() {
            String::new()
        } else {
            format!("{subject}: ")
        };
        printable(&format!(
            "{}:{}:{}: {kind}: {subject}{}",
            self.file, self.line, self.column, self.message
        ))
    }

    fn view(&self) -> ProblemView {
        ProblemView {
            file: self.file.clone(),
            line: self.line,
            column: self.column,
            object: self.object.clone(),
            path: self.path.clone(),
            message: self.message.clone(),
            severity: if self.warning {
                Severity::Warning
            } else {
                Severity::Error
            },
        }
    }
}

/// Checks the files and answers with 3 when something is wrong.
///
/// # Errors
/// When a file or the cluster cannot be read.
pub async fn run(args: &ValidateArgs, context: &Context) -> Result<Exit, CliError> {
    let namespace = if args.offline {
        context
            .flags
            .namespace
            .clone()
            .unwrap_or_else(|| "default".to_owned())
    } else {
        let cluster = context
            .cluster()
            .await
            .map_err(|e| e.hint("`--offline` checks without a cluster"))?;
        cluster.namespace().to_owned()
    };
    let Loaded { found, broken } = files::load(&args.filename, args.recursive, &namespace)?;
    if found.is_empty() && broken.is_empty() {
        return Err(CliError::new(Exit::NothingMatched, "the files hold no objects"));
    }
    let mut problems = broken;
    problems.extend(twice(&found));
    let mut facts = Facts::default();
    if !args.offline {
        let cluster = context.cluster().await?;
        facts_of_cluster(cluster, &mut facts, &found, context)
            .await
            .map_err(|e| e.hint("`--offline` checks without a cluster"))?;
    }
    for one in &found {
        facts.add(&one.document.value);
    }
    let mut others = 0;
    for one in &found {
        let Some(kind) = one.kind else {
            problems.extend(unknown(one));
            others += 1;
            continue;
        };
        problems.extend(check(one, kind, &facts, args, context).await?);
    }
    problems.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
    report(args, context, &problems, found.len() - others)
}

/// Two objects of one name: the second would overwrite the first.
fn twice(found: &[Found]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, one) in found.iter().enumerate() {
        if let Some(first) = found[..index]
            .iter()
            .find(|other| other.key() == one.key() && !one.name().is_empty())
        {
            let message = format!(
                "the same object is at {}:{} already",
                first.file, first.document.start.line
            );
            problems.push(Problem::at(one, "/metadata/name", &message, false));
        }
    }
    problems
}

/// An object of our groups that no definition knows; objects of other groups are nobody's mistake.
fn unknown(found: &Found) -> Option<Problem> {
    let version = found.text("/apiVersion");
    if found.text("/kind").is_empty() || version.is_empty() {
        return Some(Problem::at(
            found,
            "/kind",
            "apiVersion and kind say what an object is; one of them is missing",
            false,
        ));
    }
    let (group, _) = version.split_once('/')?;
    let message = format!(
        "{version} {} does not exist; the kinds of KubeStash have the version v1alpha1",
        found.text("/kind")
    );
    group
        .ends_with(".kubestash.com")
        .then(|| Problem::at(found, "/apiVersion", &message, false))
}

async fn check(
    found: &Found,
    kind: &'static Kind,
    facts: &Facts,
    args: &ValidateArgs,
    context: &Context,
) -> Result<Vec<Problem>, CliError> {
    let schema = manifests::schema(kind).map_err(|e| {
        CliError::new(Exit::Error, "a definition of this program cannot be read").cause(e.to_string())
    })?;
    let mut problems: Vec<Problem> = strict::check(&found.document.value, &schema)
        .into_iter()
        .map(|v| Problem::at(found, &v.pointer, &v.message, false))
        .collect();
    if !problems.is_empty() {
        // The rules are written for objects that the schema lets pass.
        return Ok(problems);
    }
    let old: Option<Value> = if args.offline || found.name().is_empty() {
        None
    } else {
        let namespace = kind.namespaced.then(|| found.text("/metadata/namespace"));
        context
            .cluster()
            .await?
            .find(kind, namespace.as_deref(), &found.name())
            .await?
    };
    let verdict = admit(kind.kind, &found.document.value, old.as_ref(), facts);
    for denial in &verdict.denials {
        problems.push(Problem::at(
            found,
            &strict::pointer(&denial.path),
            &denial.message,
            false,
        ));
    }
    for warning in &verdict.warnings {
        problems.push(Problem::at(found, "", warning, true));
    }
    Ok(problems)
}

/// What the rules compare with, as the cluster has it; objects that the files define are left out in favour of theirs.
async fn facts_of_cluster(
    cluster: &Cluster,
    facts: &mut Facts,
    found: &[Found],
    context: &Context,
) -> Result<(), CliError> {
    let wanted: [&Kind; 6] = [
        &kinds::BACKUP_STORAGE,
        &kinds::RETENTION_POLICY,
        &kinds::REPOSITORY,
        &kinds::HOOK_TEMPLATE,
        &kinds::ADDON,
        &kinds::NAMESPACE,
    ];
    for kind in wanted {
        let listed: Result<Vec<Value>, Error> = cluster.list(kind, &ListOptions::default()).await;
        let objects = match listed {
            Ok(objects) => objects,
            Err(Error::Forbidden { .. }) => {
                context.ui.warn(&format!("you may not list {} of the whole cluster: rules that compare with them see the files only", kind.plural));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        for mut object in objects {
            object["kind"] = json!(kind.kind);
            object["apiVersion"] = json!(kind.api_version());
            let key = files::key(&object);
            if !found.iter().any(|f| f.key() == key) {
                facts.add(&object);
            }
        }
    }
    Ok(())
}

fn report(
    args: &ValidateArgs,
    context: &Context,
    problems: &[Problem],
    checked: usize,
) -> Result<Exit, CliError> {
    let errors = problems.iter().filter(|p| !p.warning).count();
    if args.output.is_table() {
        for problem in problems {
            context.ui.line(&problem.line())?;
        }
    } else {
        let validation = Validation {
            valid: errors == 0,
            checked,
            problems: problems.iter().map(Problem::view).collect(),
        };
        schemas::print(context, &args.output, &validation)?;
    }
    let objects = human::counted(checked, "object");
    if errors > 0 {
        context.ui.say(&format!(
            "{objects} checked, {}.",
            human::counted(errors, "mistake")
        ));
        return Ok(Exit::Failed);
    }
    context.ui.say(&format!("{objects} checked, no mistakes."));
    Ok(Exit::Ok)
}
