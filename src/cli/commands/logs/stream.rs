//! The pods of a session as one stream of lines, and where the lines go.

use std::collections::BTreeSet;
use std::future::Future;

use serde_json::Value;
use tokio::sync::watch;

use crate::api::labels;
use crate::cli::error::CliError;
use crate::cli::follow::Outcome;
use crate::cli::follow::events::{Events, SessionRef};
use crate::cluster::logs::{Line, Pods};
use crate::cluster::{Cluster, Kind, kinds, logs as cluster_logs};
use crate::decide::backup::label;
use crate::output::table::printable;
use crate::output::ui::Progress;

/// Whose logs are read.
#[derive(Debug, Clone)]
pub struct Target {
    session: SessionRef,
    namespaces: BTreeSet<String>,
}

impl Target {
    /// The pods of a BackupSession.
    pub fn backup(namespace: &str, name: &str) -> Self {
        Target::new(&kinds::BACKUP_SESSION, namespace, name)
    }

    /// The pods of a RestoreSession.
    pub fn restore(namespace: &str, name: &str) -> Self {
        Target::new(&kinds::RESTORE_SESSION, namespace, name)
    }

    pub(super) fn new(kind: &Kind, namespace: &str, name: &str) -> Self {
        Target {
            session: SessionRef {
                kind: kind.kind.to_owned(),
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            },
            namespaces: BTreeSet::from([namespace.to_owned()]),
        }
    }

    /// Pods run where the target is, which may be another namespace.
    #[must_use]
    pub fn also_in(mut self, namespace: &str) -> Self {
        if !namespace.is_empty() {
            self.namespaces.insert(namespace.to_owned());
        }
        self
    }

    fn pods(&self) -> Pods {
        Pods {
            namespaces: self.namespaces.clone(),
            labels: format!(
                "{}={},{}={}",
                labels::INVOKER_NAME,
                label(&self.session.name),
                labels::INVOKER_NAMESPACE,
                label(&self.session.namespace)
            ),
        }
    }
}

/// Where lines go.
#[derive(Clone, Copy)]
pub enum Sink<'p, 'u> {
    /// To standard error: the data of the command is something else.
    Talk(&'p Progress<'u>),
    /// To standard output.
    Data {
        /// Keeps what is drawn below the lines.
        progress: &'p Progress<'u>,
        /// As the pods wrote them.
        raw: bool,
        /// Name the source before each line.
        prefix: bool,
    },
    /// To standard output as events.
    Events(&'p Events<'u>),
}

impl Sink<'_, '_> {
    fn write(self, session: &SessionRef, line: &Line) -> Result<(), CliError> {
        match self {
            Sink::Events(events) => events.log(session, line),
            Sink::Talk(progress) => {
                progress.say(&format!(
                    "[{}/{}] {}",
                    line.source,
                    line.container,
                    readable(&line.text)
                ));
                Ok(())
            }
            Sink::Data {
                progress,
                raw,
                prefix,
            } => {
                let text = if raw {
                    line.text.clone()
                } else {
                    readable(&line.text)
                };
                let text = if prefix {
                    format!("[{}/{}] {text}", line.source, line.container)
                } else {
                    text
                };
                Ok(progress.line(&text)?)
            }
        }
    }
}

/// Shows the logs of a session until `followed` says how it ended, and then the lines that are still on their way.
///
/// # Errors
/// When the session or its logs cannot be read, or nobody reads what is written.
pub async fn while_running<F>(
    cluster: &Cluster,
    target: &Target,
    sink: Sink<'_, '_>,
    followed: F,
) -> Result<Outcome, CliError>
where
    F: Future<Output = Result<Outcome, CliError>>,
{
    let (end, ended) = watch::channel(false);
    let mut lines = cluster_logs::read(cluster, target.pods(), Some(ended));
    let followed = async {
        let outcome = followed.await;
        end.send_replace(true);
        outcome
    };
    let shown = async {
        while let Some(line) = lines.recv().await {
            sink.write(&target.session, &line?)?;
        }
        Ok::<(), CliError>(())
    };
    // A reader that went away ends the command at once; the session itself goes on without us.
    tokio::pin!(followed, shown);
    tokio::select! {
        outcome = &mut followed => {
            let outcome = outcome?;
            shown.await?;
            Ok(outcome)
        }
        written = &mut shown => {
            written?;
            followed.await
        }
    }
}

/// Writes the lines that there are, and answers with their number.
pub(super) async fn drain(cluster: &Cluster, target: &Target, sink: Sink<'_, '_>) -> Result<usize, CliError> {
    let mut lines = cluster_logs::read(cluster, target.pods(), None);
    let mut count = 0_usize;
    while let Some(line) = lines.recv().await {
        sink.write(&target.session, &line?)?;
        count += 1;
    }
    Ok(count)
}

/// A line of our own programs (JSON) as people read it: `WARN message key=value`; any other line as it is, without
/// control characters.
pub(super) fn readable(text: &str) -> String {
    let Ok(Value::Object(mut fields)) = serde_json::from_str::<Value>(text) else {
        return printable(text);
    };
    let Some(message) = fields
        .remove("message")
        .and_then(|m| m.as_str().map(str::to_owned))
    else {
        return printable(text);
    };
    let level = fields
        .remove("level")
        .and_then(|l| l.as_str().map(str::to_owned))
        .unwrap_or_default();
    for noise in ["timestamp", "target", "span", "spans", "threadId"] {
        fields.remove(noise);
    }
    let mut line = if level.is_empty() || level == "INFO" {
        message
    } else {
        format!("{level} {message}")
    };
    for (key, value) in fields {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        line.push_str(&format!(" {key}={value}"));
    }
    printable(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_lines_are_made_readable() {
        let line = r#"{"timestamp":"2026-01-01T00:00:00Z","level":"WARN","target":"kubestash::mover","message":"file skipped","path":"/a","count":2}"#;
        assert_eq!(readable(line), "WARN file skipped count=2 path=/a");
        assert_eq!(readable(r#"{"level":"INFO","message":"done"}"#), "done");
        assert_eq!(readable("plain \u{1b}[31mtext"), "plain \\u{1b}[31mtext");
        assert_eq!(readable(r#"{"other":1}"#), r#"{"other":1}"#);
    }

    #[test]
    fn pods_are_found_by_the_session_they_work_for() {
        let target = Target::backup("demo", "b-1").also_in("apps").also_in("");
        assert_eq!(
            target.pods().labels,
            "kubestash.com/invoker-name=b-1,kubestash.com/invoker-namespace=demo"
        );
        assert_eq!(target.pods().namespaces.len(), 2);
    }
}
