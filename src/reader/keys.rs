//! The keys and the locks of a repository.

use serde_json::json;

use super::op::{LockLine, Op};
use super::process::captured;
use super::source::{Opened, Source, Trouble};
use crate::api::config::job_result::JobCause;
use crate::restic::locks::{self, Holder};
use crate::restic::look::Look;

/// The operations on keys; the answer is one line of JSON.
pub(super) async fn perform(
    op: &Op,
    source: &Source,
    component: &str,
    opened: &Opened,
) -> Result<String, Trouble> {
    match op {
        Op::KeyAdd { password, user, host } => {
            if password.0.is_empty() {
                return Err(Trouble::new(
                    JobCause::Misconfigured,
                    "an empty password protects nothing",
                ));
            }
            // A second call (an interrupted rotation) finds the key of the first.
            if let Ok(id) = prove(source, component, &password.0).await {
                return Ok(json!({"id": id, "added": false}).to_string());
            }
            let file = opened.scratch().join("new-password");
            crate::mover::report::write_secret_file(
                &file,
                &crate::backend::SecretText::new(password.0.as_str()),
            )?;
            let look = Look::KeyAdd {
                file,
                user: user.clone(),
                host: host.clone(),
            };
            captured(&look, opened).await?;
            let id = prove(source, component, &password.0).await?;
            Ok(json!({"id": id, "added": true}).to_string())
        }
        Op::KeyProve { password } => {
            let id = prove(source, component, &password.0).await?;
            Ok(json!({ "id": id }).to_string())
        }
        Op::KeyRemove { id, password } => {
            let other;
            let opened = if password.0.is_empty() {
                opened
            } else {
                other = source.with_password(&password.0).open(component).await?;
                &other
            };
            if current(opened).await?.starts_with(id.as_str()) {
                return Err(Trouble::new(
                    JobCause::Misconfigured,
                    format!(
                        "key {id} is the one that opens the repository; removing it would lock everybody out"
                    ),
                ));
            }
            captured(&Look::KeyRemove { key: id.clone() }, opened).await?;
            Ok(json!({ "id": id }).to_string())
        }
        _ => Ok(String::new()),
    }
}

/// The key that a password opens.
async fn prove(source: &Source, component: &str, password: &str) -> Result<String, Trouble> {
    let opened = source.with_password(password).open(component).await?;
    current(&opened).await
}

/// The id of the key that opened the repository.
async fn current(opened: &Opened) -> Result<String, Trouble> {
    let text = captured(&Look::KeyList, opened).await?;
    let keys: Vec<serde_json::Value> = serde_json::from_slice(&text)
        .map_err(|e| Trouble::new(JobCause::Other, format!("restic's list of keys: {e}")))?;
    keys.iter()
        .find(|key| key["current"] == true)
        .and_then(|key| key["id"].as_str())
        .map(str::to_owned)
        .ok_or_else(|| {
            Trouble::new(
                JobCause::Other,
                "restic does not say which key opened the repository",
            )
        })
}

/// The locks, each with the record of its holder where one fits.
pub(super) async fn lock_lines(opened: &Opened, source: &Source) -> Result<Vec<LockLine>, Trouble> {
    let mut found = Vec::new();
    for id in locks::list(&opened.documents, &opened.dir).await? {
        let Some(lock) = opened.restic.lock(&id).await? else {
            continue;
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        let mut holder = None;
        if !lock.hostname.is_empty() && lock.hostname.chars().all(plain) {
            let path = locks::record_path(&source.path, &lock.hostname);
            let record = opened.documents.get(&path).await?;
            holder = record
                .and_then(|text| serde_json::from_slice::<Holder>(&text).ok())
                .filter(|holder| holder.host == lock.hostname);
        }
        let ours = holder
            .as_ref()
            .is_some_and(|holder| holder.is_of(&source.cluster));
        found.push(LockLine {
            id,
            host: lock.hostname,
            time: lock.time,
            exclusive: lock.exclusive,
            holder,
            ours,
        });
    }
    Ok(found)
}
