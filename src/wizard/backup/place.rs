//! Where to, for how long, encrypted with what, and as which user.

use kube::ResourceExt;

use super::{State, absent};
use crate::api::storage::{BackupStorage, RetentionPolicy};
use crate::cluster::kinds;
use crate::decide::job::NOBODY;
use crate::decide::usage_policy::{allows, default_for};
use crate::wizard::credentials::{self, PASSWORD};
use crate::wizard::found::Found;
use crate::wizard::prompter::{Choice, Halt, Prompter, Question, Reply, choose, fail, fail_with};
use crate::wizard::retention::{Rules, ask_rules, name_of};
use crate::wizard::{names, preview};

fn full(object: &impl ResourceExt, from: &str) -> String {
    names::short(&object.namespace().unwrap_or_default(), &object.name_any(), from)
}

/// Where a storage is, in a few words.
pub(in crate::wizard) fn describe_storage(storage: &BackupStorage) -> String {
    let spec = &storage.spec.storage;
    let place = match (&spec.s3, &spec.gcs, &spec.azure) {
        (Some(s3), ..) => match s3.endpoint.as_deref().filter(|e| !e.is_empty()) {
            Some(endpoint) => format!("{}/{}", endpoint.trim_end_matches('/'), s3.bucket),
            None => s3.bucket.clone(),
        },
        (_, Some(gcs), _) => gcs.bucket.clone(),
        (.., Some(azure)) => azure.container.clone(),
        _ => "a volume".to_owned(),
    };
    let status = storage.status.clone().unwrap_or_default();
    let mut parts = vec![
        format!("{} {place}", spec.provider),
        status
            .phase
            .map_or_else(|| "not looked at yet".to_owned(), |phase| format!("{phase:?}")),
    ];
    parts.extend(status.total_size.filter(|s| !s.is_empty()));
    if storage.spec.default {
        parts.push("default".to_owned());
    }
    parts.join(" · ")
}

fn usable_storages(found: &Found) -> Vec<&BackupStorage> {
    let labels = found.labels();
    found
        .storages
        .iter()
        .filter(|s| {
            let own = s.namespace().unwrap_or_default();
            s.metadata.deletion_timestamp.is_none()
                && allows(s.spec.usage_policy.as_ref(), &own, &found.namespace, &labels)
        })
        .collect()
}

pub(super) fn storage(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    let found = state.found.clone();
    if let Some(text) = &state.answers.storage {
        let (namespace, name) = names::reference(text, &found.namespace);
        let known = found
            .storages
            .iter()
            .any(|s| s.name_any() == name && s.namespace().as_deref() == Some(namespace));
        if !known && found.read(&kinds::BACKUP_STORAGE) {
            return fail_with(
                format!("BackupStorage {name} in namespace {namespace} not found"),
                format!("`kubectl kubestash create storage {name} -n {namespace}` makes it"),
            );
        }
        return Ok(());
    }
    let usable = usable_storages(&found);
    let guess =
        default_for(usable.iter().copied(), &found.namespace, &found.labels()).or(match usable.as_slice() {
            [only] => Some(*only),
            _ => None,
        });
    let choices: Vec<Choice> = usable
        .iter()
        .map(|s| Choice::new(full(*s, &found.namespace), describe_storage(s)))
        .collect();
    let mut question = Question::new("--storage", "Where to", "The BackupStorage that gets the data.");
    if choices.is_empty() {
        question = question.need(format!(
            "a BackupStorage; namespace {} can use none yet: `kubectl kubestash create storage` makes one",
            found.namespace
        ));
    }
    question.must = guess.is_none();
    if choices.is_empty() {
        return no_storage(state, question, prompter);
    }
    let default = guess.map(|s| full(s, &found.namespace));
    state.answers.storage = Some(choose(prompter, &question, &choices, default.as_deref())?);
    Ok(())
}

/// Where there is none that could be chosen: one is made now, or one that is yet to come is named.
fn no_storage(state: &mut State, question: Question, prompter: &mut dyn Prompter) -> Reply<()> {
    const MAKE: &str = "make one now";
    let question = Question {
        why: "There is no BackupStorage that this namespace may use.".to_owned(),
        ..question
    };
    if !state.naming_storage {
        let choices = [
            Choice::new(MAKE, "asks where the backups shall be kept, and comes back here"),
            Choice::new("name one", "that is made by somebody else"),
        ];
        if choose(prompter, &question, &choices, Some(MAKE))? == MAKE {
            return Err(Halt::MakeStorage);
        }
        state.naming_storage = true;
        return Ok(());
    }
    let text = prompter.text(&question, None, &|t| {
        let (_, name) = names::reference(t, "");
        names::check(name).map(|()| String::new())
    })?;
    state.answers.storage = Some(text);
    Ok(())
}

/// The storage that was chosen, where it could be read.
fn chosen_storage(state: &State) -> Option<&BackupStorage> {
    let (namespace, name) = names::reference(state.answers.storage.as_deref()?, &state.found.namespace);
    state
        .found
        .storages
        .iter()
        .find(|s| s.name_any() == name && s.namespace().as_deref() == Some(namespace))
}

/// The schedule that counts for previews.
fn first_schedule(state: &State) -> String {
    super::sessions(&state.answers)
        .ok()
        .and_then(|all| all.into_iter().next())
        .map_or_else(|| "0 2 * * *".to_owned(), |(_, schedule)| schedule)
}

pub(super) fn retention(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    const NEW: &str = "a new policy";
    let found = state.found.clone();
    let keep = state.answers.keep();
    if keep.says_anything() {
        if state.answers.retention.is_none() {
            state.answers.retention = Some(free_policy(state));
        }
        return Ok(());
    }
    if let Some(text) = &state.answers.retention {
        let (namespace, name) = names::reference(text, &found.namespace);
        let known = crate::wizard::retention::policy(&found, namespace, name).is_some();
        if !known && found.read(&kinds::RETENTION_POLICY) {
            return fail_with(
                format!("RetentionPolicy {name} in namespace {namespace} not found"),
                format!(
                    "`kubectl kubestash create retention {name} -n {namespace}` makes it, or add --keep-daily 7 and the like"
                ),
            );
        }
        return Ok(());
    }
    let schedule = first_schedule(state);
    if state.new_policy {
        return new_rules(state, &schedule, &found, prompter);
    }
    let labels = found.labels();
    let usable: Vec<&RetentionPolicy> = found
        .policies
        .iter()
        .filter(|p| {
            let own = p.namespace().unwrap_or_default();
            p.metadata.deletion_timestamp.is_none()
                && allows(p.spec.usage_policy.as_ref(), &own, &found.namespace, &labels)
        })
        .collect();
    if usable.is_empty() {
        // Rules of its own are asked for at once, and their flags are named where nobody can be asked.
        state.new_policy = true;
        return new_rules(state, &schedule, &found, prompter);
    }
    let guess = default_for(usable.iter().copied(), &found.namespace, &labels).or(match usable.as_slice() {
        [only] => Some(*only),
        _ => None,
    });
    let mut choices: Vec<Choice> = usable
        .iter()
        .map(|p| {
            let default = if p.spec.default { " · default" } else { "" };
            Choice::new(
                full(*p, &found.namespace),
                format!("{}{default}", preview::policy(&p.spec, &schedule, found.now)),
            )
        })
        .collect();
    choices.push(Choice::new(NEW, "with rules for this application"));
    let mut question = Question::new(
        "--retention",
        "What is kept",
        "With the schedule above, in the long run.",
    );
    question.must = guess.is_none();
    if question.must {
        let names: Vec<String> = usable.iter().map(|p| full(*p, &found.namespace)).collect();
        question = question.need(format!(
            "one of {}; or --keep-daily 7 and the like for a new policy",
            names.join(", ")
        ));
    }
    let default = guess.map(|p| full(p, &found.namespace));
    match choose(prompter, &question, &choices, default.as_deref())?.as_str() {
        NEW => state.new_policy = true,
        chosen => state.answers.retention = Some(chosen.to_owned()),
    }
    Ok(())
}

/// Asks for rules. They are complete after a question or without one, so their policy is named here: the step is not
/// called again when it has asked nothing.
fn new_rules(state: &mut State, schedule: &str, found: &Found, prompter: &mut dyn Prompter) -> Reply<()> {
    if let Some(keep) = ask_rules(&mut state.own, "--retention", schedule, found, prompter)? {
        state.answers.set_keep(keep);
        state.answers.retention = Some(free_policy(state));
    }
    Ok(())
}

/// A name for the new policy: that of an equal one, or one that is free.
fn free_policy(state: &State) -> String {
    let keep = state.answers.keep();
    let spec = keep.spec();
    let base = match name_of(&keep) {
        name if name == "keep-some" => {
            format!("{}-retention", state.answers.name.as_deref().unwrap_or("backup"))
        }
        name => name,
    };
    names::free(&base, |name| {
        crate::wizard::retention::policy(&state.found, &state.found.namespace, name).is_some_and(|known| {
            known.spec.successful_snapshots != spec.successful_snapshots
                || known.spec.max_retention_period != spec.max_retention_period
        })
    })
}

pub(super) fn encryption(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    if state.answers.name.is_none() {
        return Ok(());
    }
    let found = state.found.clone();
    if state.answers.encryption_secret.is_none() {
        let known = |secret: &str| found.secrets.iter().find(|s| s.name == secret);
        let taken = |secret: &str| known(secret).is_some_and(|s| !s.keys.iter().any(|k| k == PASSWORD));
        let new = names::free("backup-encryption", taken);
        state.answers.encryption_secret = Some(ask_secret(state, &found, &new, prompter)?);
    }
    make_password(state, &found)
}

/// A Secret that does not exist gets a password; one that exists must have its key.
fn make_password(state: &mut State, found: &Found) -> Reply<()> {
    let Some(secret) = state.answers.encryption_secret.clone() else {
        return Ok(());
    };
    names::check(&secret).or_else(fail)?;
    let known = found.secrets.iter().find(|s| s.name == secret);
    if known.is_some_and(|s| !s.keys.iter().any(|k| k == PASSWORD)) {
        return fail_with(
            format!(
                "Secret {secret} in namespace {} has no key {PASSWORD}",
                found.namespace
            ),
            "name another with --encryption-secret, or one that does not exist to have it made",
        );
    }
    if absent(found, &secret) && state.password.is_empty() {
        state
            .password
            .put(PASSWORD, credentials::password().or_else(fail)?);
    }
    if known.is_some() {
        state.password = credentials::Values::default();
    }
    Ok(())
}

fn ask_secret(state: &State, found: &Found, new: &str, prompter: &mut dyn Prompter) -> Reply<String> {
    // One password for a namespace is one to keep safe. A Repository that exists was encrypted with its Secret; another one would not open it.
    let repo = super::manifests::repository_name(state);
    let bound = repo.and_then(|repo| {
        found
            .repositories
            .iter()
            .find(|r| r.name_any() == repo && r.namespace().as_deref() == Some(found.namespace.as_str()))
            .and_then(|r| r.spec.encryption_secret.clone())
    });
    if let Some(bound) = bound {
        return Ok(bound.name);
    }
    let holds = |s: &&crate::wizard::found::SecretKeys| s.keys.iter().any(|k| k == PASSWORD);
    let existing: Vec<&str> = found
        .secrets
        .iter()
        .filter(holds)
        .map(|s| s.name.as_str())
        .collect();
    if existing.is_empty() || existing.contains(&new) {
        return Ok(new.to_owned());
    }
    let mut choices: Vec<Choice> = existing
        .iter()
        .map(|name| Choice::new(*name, "exists, with a password"))
        .collect();
    choices.push(Choice::new(new, "new, with a strong password"));
    let question = Question::new(
        "--encryption-secret",
        "Secret with the password that encrypts the data",
        "Whoever loses it loses the backups: keep a copy outside the cluster.",
    );
    let default = if existing.len() == 1 {
        existing.first().copied()
    } else {
        Some(new)
    };
    choose(prompter, &question, &choices, default)
}

pub(super) fn user(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    if state.answers.run_as_user.is_some() || state.target().is_none() {
        return Ok(());
    }
    let own = state.found_target().and_then(|t| t.user);
    let restricted = state
        .found
        .labels()
        .get("pod-security.kubernetes.io/enforce")
        .is_some_and(|level| level == "restricted");
    let local = chosen_storage(state)
        .filter(|s| s.spec.storage.provider == "local")
        .and_then(|s| {
            s.spec
                .runtime_settings
                .as_ref()?
                .pod
                .as_ref()?
                .security_context
                .as_ref()?
                .run_as_user
        });
    let mut choices = Vec::new();
    if let Some(user) = own.filter(|u| *u != 0) {
        choices.push(Choice::new(
            user.to_string(),
            "as the application runs: reads what it wrote",
        ));
    }
    choices.push(Choice::new("0", "root: reads every file, whoever owns it"));
    choices.push(Choice::new(
        NOBODY.to_string(),
        "nobody: reads what everybody may read",
    ));
    let guess = local.or(own).unwrap_or(if restricted { NOBODY } else { 0 });
    if !choices.iter().any(|c| c.value == guess.to_string()) {
        choices.push(Choice::new(guess.to_string(), "as the Jobs of the storage run"));
    }
    let why = if restricted {
        "The namespace lets no pod run as root. A file that cannot be read makes a backup fail in part."
    } else {
        "A file that cannot be read makes a backup fail in part, and says which."
    };
    let question = Question::new("--run-as-user", "The backup runs as", why);
    let chosen = choose(prompter, &question, &choices, Some(&guess.to_string()))?;
    state.answers.run_as_user = chosen.parse().ok();
    Ok(())
}
