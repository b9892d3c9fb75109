//! Admission: what is filled in, what is refused and what is worth a warning when an object is created or changed.
//!
//! The webhooks, the BackupConfiguration controller and `kubectl kubestash validate` all call [`admit`], so they never
//! disagree. How to call it:
//!
//! 1. Collect [`Facts`]: the other objects the rules compare with. A webhook reads them from the cluster; `validate`
//!    adds what stands in the other files with [`Facts::add`] (and, online, what the cluster has).
//! 2. `admit("BackupConfiguration", &new, old.as_ref(), &facts)` with the object as JSON; `old` only for updates.
//! 3. [`Verdict::patched`] is the object with defaults filled in, where there was something to fill in;
//!    [`Verdict::denials`] lists every violation with its field path (empty: admitted); [`Verdict::warnings`] are for
//!    people and refuse nothing. [`Verdict::message`] is the one sentence a webhook answers.
//!
//! The rules are those of KubeStash's webhooks with their known defects mended, and some more that can only catch
//! mistakes. Two kinds of change always pass: one to an object that is being deleted (or nothing could ever remove its
//! finalizer), and one that leaves `spec` as it is.

mod backup_blueprint;
mod backup_configuration;
mod backup_sessions;
mod backup_storage;
mod backup_verifier;
mod facts;
mod hook_template;
mod repository;
mod restore_session;
mod retention_policy;

pub use backup_configuration::backend_of;
pub use facts::Facts;

use serde::de::DeserializeOwned;
use serde_json::Value;

/// A rule that the object breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The field, as a path such as `spec.sessions[0].scheduler`; never empty.
    pub path: String,
    /// What is wrong with it and what to do.
    pub message: String,
}

/// What admission says about one object.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    /// The object with its defaults, when that differs from what was given.
    pub patched: Option<Value>,
    /// Every broken rule; empty means admitted.
    pub denials: Vec<Denial>,
    /// For people; they refuse nothing.
    pub warnings: Vec<String>,
}

impl Verdict {
    /// True when no rule is broken.
    #[must_use]
    pub fn admitted(&self) -> bool {
        self.denials.is_empty()
    }

    /// The refusal as one text that names the object; `None` when it is admitted.
    #[must_use]
    pub fn message(&self, kind: &str, object: &Value) -> Option<String> {
        if self.admitted() {
            return None;
        }
        let broken: Vec<String> = self
            .denials
            .iter()
            .map(|denial| format!("{}: {}", denial.path, denial.message))
            .collect();
        Some(format!(
            "{kind} {} is not valid: {}",
            full_name(object),
            broken.join("; ")
        ))
    }
}

/// `namespace/name` of an object, for messages.
fn full_name(object: &Value) -> String {
    let name = text(object, "/metadata/name")
        .or_else(|| text(object, "/metadata/generateName"))
        .unwrap_or("(no name)");
    match text(object, "/metadata/namespace") {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    }
}

fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
}

/// What the rules of a kind work on, and where they put what they find.
struct Review<'a, K> {
    new: &'a K,
    old: Option<&'a K>,
    namespace: &'a str,
    name: &'a str,
    facts: &'a Facts,
    denials: Vec<Denial>,
    warnings: Vec<String>,
}

impl<K> Review<'_, K> {
    fn deny(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.denials.push(Denial {
            path: path.into(),
            message: message.into(),
        });
    }

    fn warn(&mut self, message: impl Into<String>) {
        self.warnings.push(message.into());
    }

    /// The usage policy asks for a selector and has none.
    fn check_selector(&mut self, policy: Option<&crate::api::shared::UsagePolicy>) {
        if super::usage_policy::lacks_selector(policy) {
            self.deny(
                "spec.usagePolicy.allowedNamespaces.selector",
                "a selector is needed when `from` is Selector; add one, or use All or Same",
            );
        }
    }
}

/// Fills defaults into `new` and checks it. Kinds without rules are admitted as they are.
#[must_use]
pub fn admit(kind: &str, new: &Value, old: Option<&Value>, facts: &Facts) -> Verdict {
    if new
        .pointer("/metadata/deletionTimestamp")
        .is_some_and(|at| !at.is_null())
    {
        return Verdict::default();
    }
    match kind {
        "BackupStorage" => run(new, old, facts, backup_storage::defaults, backup_storage::check),
        "Repository" => run(new, old, facts, none, repository::check),
        "RetentionPolicy" => run(
            new,
            old,
            facts,
            retention_policy::defaults,
            retention_policy::check,
        ),
        "BackupConfiguration" => run(
            new,
            old,
            facts,
            backup_configuration::defaults,
            backup_configuration::check,
        ),
        "BackupSession" => run(new, old, facts, none, backup_sessions::check_backup_session),
        "BackupVerificationSession" => {
            run(new, old, facts, none, backup_sessions::check_verification_session)
        }
        "BackupBlueprint" => run(new, old, facts, default_usage_policy, backup_blueprint::check),
        "BackupVerifier" => run(new, old, facts, none, backup_verifier::check),
        "HookTemplate" => run(new, old, facts, default_usage_policy, hook_template::check),
        "RestoreSession" => run(new, old, facts, none, restore_session::check),
        _ => Verdict::default(),
    }
}

type Defaults = fn(&mut Value, &Facts);

fn run<K: DeserializeOwned>(
    new: &Value,
    old: Option<&Value>,
    facts: &Facts,
    defaults: Defaults,
    check: impl FnOnce(&mut Review<'_, K>),
) -> Verdict {
    let mut filled = new.clone();
    defaults(&mut filled, facts);
    let patched = (filled != *new).then(|| filled.clone());
    if old.is_some_and(|old| old.get("spec") == filled.get("spec")) {
        return Verdict {
            patched,
            ..Verdict::default()
        };
    }
    let typed: K = match serde_json::from_value(filled.clone()) {
        Ok(typed) => typed,
        Err(error) => {
            let denials = vec![Denial {
                path: "spec".to_owned(),
                message: format!("cannot be read: {error}"),
            }];
            return Verdict {
                denials,
                ..Verdict::default()
            };
        }
    };
    // An old object that cannot be read any more has nothing to hold the new one to.
    let before: Option<K> = old.and_then(|old| serde_json::from_value(old.clone()).ok());
    let mut review = Review {
        new: &typed,
        old: before.as_ref(),
        namespace: text(new, "/metadata/namespace").unwrap_or_default(),
        name: text(new, "/metadata/name").unwrap_or_default(),
        facts,
        denials: Vec::new(),
        warnings: Vec::new(),
    };
    check(&mut review);
    let Review {
        denials, warnings, ..
    } = review;
    Verdict {
        patched,
        denials,
        warnings,
    }
}

fn none(_: &mut Value, _: &Facts) {}

/// `spec.usagePolicy` absent: only the own namespace.
fn default_usage_policy(object: &mut Value, _: &Facts) {
    let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    if spec.get("usagePolicy").is_none_or(Value::is_null) {
        spec.insert(
            "usagePolicy".to_owned(),
            serde_json::json!({"allowedNamespaces": {"from": "Same"}}),
        );
    }
}

#[cfg(test)]
mod tests;
