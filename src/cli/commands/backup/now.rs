//! `backup now`: creates BackupSessions as the schedule would, and follows them if asked to.

use std::collections::BTreeSet;

use kube::ResourceExt;

use super::run::{self, RunArgs, Wanted};
use crate::api::core::{BackupConfiguration, BackupConfigurationPhase};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::select::Selection;
use crate::decide::{explain, trigger};

/// Back up now, as the schedule would
///
/// Creates a BackupSession for each session of the BackupConfigurations, or for those that --session names. With several
/// configurations, one that cannot be backed up does not keep the others: the exit code is 4 then.
///
/// Examples:
///   kubectl kubestash backup now sample-backup
///   kubectl kubestash backup now bc/sample-backup --session daily --wait --logs -n demo
///   kubectl kubestash backup now -l team=storage --wait --timeout 2h --junit backup.xml
///   kubectl kubestash backup now --all -A --events json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct NowArgs {
    #[command(flatten)]
    selection: Selection,
    /// Session to run; may be repeated; all by default
    #[arg(long, visible_alias = "sessions", value_name = "NAME", value_delimiter = ',')]
    session: Vec<String>,
    #[command(flatten)]
    run: RunArgs,
}

/// Creates the BackupSessions and, if asked to, waits for their end.
///
/// # Errors
/// When the configuration or a session does not exist, or it is not ready to be backed up.
pub async fn run(args: &NowArgs, context: &Context) -> Result<Exit, CliError> {
    let wanted = async {
        let configurations = args.selection.read(context).await?;
        wanted(configurations, &args.session, args.selection.is_by_name())
    };
    run::perform(context, &args.run, "kubectl kubestash backup now", wanted).await
}

/// Which sessions of which configurations run, and which cannot. Of a selection by label, what is paused on purpose is
/// left out, and so is what has none of the sessions; who names one wants just that one.
pub(in crate::cli) fn wanted(
    configurations: Vec<BackupConfiguration>,
    sessions: &[String],
    by_name: bool,
) -> Result<Wanted, CliError> {
    let single = configurations.len() == 1;
    let mut wanted = Wanted::default();
    for configuration in configurations {
        let namespace = configuration.namespace().unwrap_or_default();
        let name = configuration.name_any();
        let checked = chosen(&configuration, sessions).and_then(|sessions| {
            ready(&configuration)?;
            Ok(sessions)
        });
        match checked {
            Ok(sessions) => wanted.run.push((configuration, sessions)),
            Err(error) if single => return Err(error),
            Err(error) if by_name || error.exit != Exit::NothingMatched && !configuration.spec.paused => {
                wanted.refused.push((namespace, name, error));
            }
            Err(error) => wanted
                .left_out
                .push((namespace, name, format!("left out: {}", error.message))),
        }
    }
    if wanted.run.is_empty() && wanted.refused.is_empty() && !sessions.is_empty() {
        return Err(CliError::new(
            Exit::NothingMatched,
            format!(
                "none of the BackupConfigurations has a session {} that can run",
                sessions.join(" or ")
            ),
        ));
    }
    Ok(wanted)
}

/// The sessions asked for, each once; all of them when none is named.
fn chosen(configuration: &BackupConfiguration, asked: &[String]) -> Result<Vec<String>, CliError> {
    let name = configuration.name_any();
    let known: Vec<String> = configuration
        .spec
        .sessions
        .iter()
        .map(|s| s.name.clone())
        .collect();
    if known.is_empty() {
        return Err(CliError::new(
            Exit::Precondition,
            format!("BackupConfiguration {name} has no sessions"),
        ));
    }
    if asked.is_empty() {
        return Ok(known);
    }
    let mut seen = BTreeSet::new();
    let mut sessions = Vec::new();
    for wanted in asked {
        if trigger::session(configuration, wanted).is_none() {
            return Err(CliError::new(
                Exit::NothingMatched,
                format!("BackupConfiguration {name} has no session {wanted:?}"),
            )
            .hint(format!("it has: {}", known.join(", "))));
        }
        if seen.insert(wanted) {
            sessions.push(wanted.clone());
        }
    }
    Ok(sessions)
}

/// A backup that would only be skipped is refused here, with the reason and the way out.
fn ready(configuration: &BackupConfiguration) -> Result<(), CliError> {
    let name = configuration.name_any();
    let namespace = configuration.namespace().unwrap_or_default();
    if configuration.metadata.deletion_timestamp.is_some() {
        return Err(CliError::new(
            Exit::Precondition,
            format!("BackupConfiguration {name} is being deleted"),
        ));
    }
    if configuration.spec.paused {
        return Err(CliError::new(
            Exit::Precondition,
            format!("BackupConfiguration {name} is paused"),
        )
        .hint(format!(
            "`kubectl kubestash resume {name} -n {namespace}` resumes it"
        )));
    }
    let phase = configuration.status.as_ref().and_then(|s| s.phase);
    if phase == Some(BackupConfigurationPhase::Ready) {
        return Ok(());
    }
    let state = phase.map_or("not ready yet", |p| match p {
        BackupConfigurationPhase::Invalid => "not valid",
        _ => "not ready",
    });
    Err(CliError::new(
        Exit::Precondition,
        format!("BackupConfiguration {name} is {state}"),
    )
    .cause(explain::not_ready(configuration))
    .hint(format!(
        "`kubectl kubestash why bc/{name} -n {namespace}` says what it waits for"
    )))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn configuration(spec: &Value, status: &Value) -> BackupConfiguration {
        serde_json::from_value(json!({
            "apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupConfiguration",
            "metadata": {"name": "b", "namespace": "demo"}, "spec": spec, "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn unknown_sessions_are_named_with_those_that_exist() {
        let b = configuration(&json!({"sessions": [{"name": "x"}, {"name": "y"}]}), &json!({}));
        assert_eq!(chosen(&b, &[]).unwrap().len(), 2);
        assert_eq!(chosen(&b, &["y".to_owned(), "y".to_owned()]).unwrap().len(), 1);
        let error = chosen(&b, &["z".to_owned()]).unwrap_err();
        assert_eq!(
            (error.exit, error.hints[0].as_str()),
            (Exit::NothingMatched, "it has: x, y")
        );
    }

    #[test]
    fn what_would_be_skipped_is_refused() {
        let spec = json!({"sessions": [{"name": "x"}]});
        assert!(ready(&configuration(&spec, &json!({"phase": "Ready"}))).is_ok());
        let paused = configuration(&json!({"paused": true}), &json!({"phase": "Ready"}));
        let error = ready(&paused).unwrap_err();
        assert_eq!(
            (error.exit, error.message.as_str()),
            (Exit::Precondition, "BackupConfiguration b is paused.")
        );
        let missing = configuration(&spec, &json!({"phase": "NotReady", "targetFound": false}));
        assert!(ready(&missing).unwrap_err().causes[0].contains("does not exist"));
        assert!(ready(&configuration(&spec, &json!({}))).is_err());
    }

    #[test]
    fn one_that_cannot_run_does_not_keep_the_others() {
        let spec = json!({"sessions": [{"name": "x"}]});
        let all = || {
            vec![
                configuration(&spec, &json!({"phase": "Ready"})),
                configuration(
                    &json!({"sessions": [{"name": "x"}], "paused": true}),
                    &json!({"phase": "Ready"}),
                ),
                configuration(&spec, &json!({"phase": "NotReady"})),
            ]
        };
        let named = wanted(all(), &[], true).unwrap();
        assert_eq!(
            (named.run.len(), named.refused.len(), named.left_out.len()),
            (1, 2, 0)
        );
        let selected = wanted(all(), &[], false).unwrap();
        assert_eq!(
            (
                selected.run.len(),
                selected.refused.len(),
                selected.left_out.len()
            ),
            (1, 1, 1)
        );
        let nowhere = wanted(all(), &["z".to_owned()], false).unwrap_err();
        assert_eq!(nowhere.exit, Exit::NothingMatched);
        assert!(
            wanted(all().split_off(2), &[], true).is_err(),
            "a single one is the error itself"
        );
    }
}
