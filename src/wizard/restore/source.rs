//! What is restored: the Repository, the Snapshot, its components.

use jiff::Timestamp;
use kube::ResourceExt;

use super::{LATEST, State, kind_of, succeeded};
use crate::api::storage::{Repository, Snapshot};
use crate::cluster::kinds;
use crate::decide::retention::snapshot_time;
use crate::output::human;
use crate::wizard::prompter::{Choice, Halt, Prompter, Question, Reply, choose, fail_with};
use crate::wizard::{names, target};

/// How many Snapshots are offered.
const OFFERED: usize = 200;

pub(super) fn repository(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    let found = state.found.clone();
    if let Some((namespace, name)) = state.repo() {
        if state.repository().is_none() && found.read(&kinds::REPOSITORY) {
            return fail_with(
                format!("Repository {name} in namespace {namespace} not found"),
                format!("`kubectl get repositories -n {namespace}` lists what there is"),
            );
        }
        return Ok(());
    }
    let mut own: Vec<&Repository> = found
        .repositories
        .iter()
        .filter(|r| r.namespace().as_deref() == Some(&found.namespace))
        .collect();
    own.sort_by_key(|r| std::cmp::Reverse(last_backup(r)));
    let choices: Vec<Choice> = own
        .iter()
        .map(|r| Choice::new(r.name_any(), describe(r, found.now)))
        .collect();
    let question = Question::new(
        "--repo",
        "Restore from",
        "A Repository holds the Snapshots of one application.",
    )
    .must();
    if choices.is_empty() {
        let none = format!("namespace {} has none yet; a backup makes one", found.namespace);
        if !found.read(&kinds::REPOSITORY) {
            let text = prompter.text(&question, None, &|t| {
                names::check(names::reference(t, "").1).map(|()| String::new())
            })?;
            state.answers.repo = Some(text);
            return Ok(());
        }
        let question = question.need(format!("a Repository; {none}"));
        // Where somebody can be asked there is nothing to choose from.
        return match prompter.select(&question, &[], None) {
            Err(Halt::Missing) => Err(Halt::Missing),
            _ => fail_with(
                format!("namespace {} has no Repository to restore from", found.namespace),
                "`kubectl kubestash create backup` makes one; -n names another namespace",
            ),
        };
    }
    state.answers.repo = Some(choose(prompter, &question, &choices, None)?);
    Ok(())
}

fn last_backup(repository: &Repository) -> Option<Timestamp> {
    repository.status.as_ref()?.last_backup_time.as_ref().map(|t| t.0)
}

fn describe(repository: &Repository, now: Timestamp) -> String {
    let mut parts = Vec::new();
    if let Some(app) = &repository.spec.app_ref {
        let kind = kind_of(app).map(target::word).unwrap_or_default();
        parts.push(format!("of {kind}/{}", app.name));
    }
    let status = repository.status.clone().unwrap_or_default();
    if let Some(count) = status.snapshot_count {
        parts.push(human::counted(count, "Snapshot"));
    }
    parts.extend(status.size.filter(|s| !s.is_empty()));
    if let Some(time) = last_backup(repository) {
        parts.push(format!("last backup {} ago", human::age(time, now)));
    }
    parts.join(" · ")
}

pub(super) fn snapshot(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    let Some((namespace, repo)) = state.repo() else {
        return Ok(());
    };
    // Snapshots are read in the wizard's own namespace alone.
    let known = state.found.read(&kinds::SNAPSHOT) && namespace == state.found.namespace;
    let (namespace, repo) = (namespace.to_owned(), repo.to_owned());
    if let Some(name) = &state.answers.snapshot {
        if !known {
            return Ok(());
        }
        let list = format!("`kubectl kubestash snapshot list --repo {repo} -n {namespace}` lists them");
        return match state.snapshot() {
            None if name == LATEST => {
                fail_with(format!("Repository {repo} has no Snapshot that succeeded"), list)
            }
            None => fail_with(format!("Repository {repo} has no Snapshot {name}"), list),
            Some(chosen) if !succeeded(chosen) && state.answers.components.is_empty() => fail_with(
                format!("Snapshot {name} did not succeed, so it cannot be restored as a whole"),
                "`--components NAME` restores single components that succeeded",
            ),
            Some(_) => Ok(()),
        };
    }
    let now = state.found.now;
    let all = state.snapshots();
    let newest = all.iter().find(|s| succeeded(s));
    let mut choices = vec![Choice::new(
        LATEST,
        newest.map_or_else(
            || "the newest that succeeded".to_owned(),
            |s| format!("the newest when the restore starts; now {}", tell(s, now)),
        ),
    )];
    choices.extend(
        all.iter()
            .filter(|s| succeeded(s))
            .take(OFFERED)
            .map(|s| Choice::new(s.name_any(), tell(s, now))),
    );
    if known && newest.is_none() {
        return fail_with(
            format!("Repository {repo} has no Snapshot that succeeded"),
            format!("`kubectl kubestash snapshot list --repo {repo} -n {namespace}` lists what there is"),
        );
    }
    let question = Question::new(
        "--snapshot",
        "Which Snapshot",
        "The state of the application at that time.",
    );
    state.answers.snapshot = Some(choose(prompter, &question, &choices, Some(LATEST))?);
    Ok(())
}

fn tell(snapshot: &Snapshot, now: Timestamp) -> String {
    let status = snapshot.status.clone().unwrap_or_default();
    let mut parts = Vec::new();
    if let Some(time) = snapshot_time(snapshot) {
        let at = time
            .to_zoned(jiff::tz::TimeZone::UTC)
            .strftime("%a %d %b %Y %H:%M")
            .to_string();
        parts.push(format!("{at} UTC ({} ago)", human::age(time, now)));
    }
    parts.extend(status.size.filter(|s| !s.is_empty()));
    parts.push(format!("session {}", snapshot.spec.session));
    if status.components.len() > 1 {
        parts.push(human::counted(status.components.len(), "component"));
    }
    parts.join(" · ")
}

pub(super) fn components(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    let Some(snapshot) = state.snapshot() else {
        return Ok(());
    };
    let status = snapshot.status.clone().unwrap_or_default();
    let known: Vec<String> = status.components.keys().cloned().collect();
    if let Some(unknown) = state.answers.components.iter().find(|c| !known.contains(c)) {
        return fail_with(
            format!("Snapshot {} has no component {unknown}", snapshot.name_any()),
            format!("it has: {}", known.join(", ")),
        );
    }
    if !state.answers.components.is_empty() || state.components_asked || known.len() < 2 {
        return Ok(());
    }
    let choices: Vec<Choice> = status
        .components
        .iter()
        .map(|(name, component)| Choice::new(name, component.size.clone().unwrap_or_default()))
        .collect();
    let question = Question::new(
        "--components",
        "Which components",
        "Each pod or node of the application is one. All of them, unless you unmark some.",
    );
    let chosen = prompter.several(&question, &choices, &vec![true; choices.len()])?;
    if chosen.is_empty() {
        prompter.say("  At least one is needed.");
        return Ok(());
    }
    if chosen.len() < known.len() {
        state.answers.components = chosen.into_iter().filter_map(|i| known.get(i).cloned()).collect();
    }
    state.components_asked = true;
    Ok(())
}
