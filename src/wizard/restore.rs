//! The wizard for a RestoreSession: which Snapshot, what of it, and into what.

use std::sync::Arc;

use clap::Args;
use jiff::Timestamp;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::backup::parse_target;
use super::found::Found;
use super::names;
use super::prompter::{Choice, Prompter, Question, Reply, choose, fail, fail_with};
use super::retention::admitted;
use super::target;
use super::walk::Step;
use crate::api::addons::Task;
use crate::api::shared::{AddonInfo, TypedObjectReference};
use crate::api::storage::{Repository, Snapshot, SnapshotPhase};
use crate::cluster::{Kind, kinds};
use crate::decide::naming;
use crate::decide::retention::snapshot_time;
use crate::output::human;

/// The word for the newest Snapshot that succeeded.
pub const LATEST: &str = "latest";
/// How many Snapshots are offered.
const OFFERED: usize = 200;

/// The answers for a RestoreSession.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[command(next_help_heading = "Answers")]
pub struct RestoreAnswers {
    /// Name of the RestoreSession; after its Repository by default
    #[arg(value_name = "NAME", help_heading = None)]
    pub name: Option<String>,
    /// Repository to restore from
    #[arg(long, visible_alias = "repository", value_name = "[NAMESPACE/]NAME")]
    pub repo: Option<String>,
    /// Snapshot to restore; the newest that succeeded by default
    #[arg(long, value_name = "NAME|latest")]
    pub snapshot: Option<String>,
    /// Component to restore; may be repeated; all by default
    #[arg(long, visible_alias = "component", value_name = "NAME", value_delimiter = ',')]
    pub components: Vec<String>,
    /// What to restore into; what was backed up by default
    #[arg(long, value_name = "KIND/NAME")]
    pub target: Option<String>,
    /// Namespace of the target, where it is another one
    #[arg(long, value_name = "NAMESPACE", requires = "target")]
    pub target_namespace: Option<String>,
    /// Only what matches these patterns, separated by commas; may be repeated
    #[arg(long, value_name = "PATTERNS")]
    pub include: Vec<String>,
    /// Not what matches these patterns, separated by commas; may be repeated
    #[arg(long, value_name = "PATTERNS")]
    pub exclude: Vec<String>,
    /// Another parameter of the task; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub param: Vec<String>,
    /// Addon that restores; the backup's own, or by the kind of the target, by default
    #[arg(long, value_name = "NAME")]
    pub addon: Option<String>,
    /// Task of the Addon
    #[arg(long, value_name = "NAME")]
    pub task: Option<String>,
    /// User that the restore runs as; 0 by default, which keeps the owners of files
    #[arg(long, value_name = "UID", value_parser = clap::value_parser!(i64).range(0..))]
    pub run_as_user: Option<i64>,
    /// The longest that the restore may take, such as 2h
    #[arg(long, value_name = "DURATION")]
    pub restore_timeout: Option<String>,
}

/// A wizard on its way.
#[derive(Debug, Clone)]
pub struct State {
    /// The answers.
    pub answers: RestoreAnswers,
    /// What the cluster has.
    pub found: Arc<Found>,
    components_asked: bool,
    in_place: bool,
    elsewhere: bool,
    files_asked: bool,
    files: Vec<String>,
}

impl State {
    /// A wizard with the answers that are there already.
    pub fn new(answers: RestoreAnswers, found: Arc<Found>) -> Self {
        State {
            answers,
            found,
            components_asked: false,
            in_place: false,
            elsewhere: false,
            files_asked: false,
            files: Vec::new(),
        }
    }

    /// Namespace and name of the Repository.
    fn repo(&self) -> Option<(&str, &str)> {
        Some(names::reference(
            self.answers.repo.as_deref()?,
            &self.found.namespace,
        ))
    }

    fn repository(&self) -> Option<&Repository> {
        let (namespace, name) = self.repo()?;
        self.found
            .repositories
            .iter()
            .find(|r| r.name_any() == name && r.namespace().as_deref() == Some(namespace))
    }

    /// The Snapshots of the Repository, newest first, as far as they could be read.
    fn snapshots(&self) -> Vec<&Snapshot> {
        let Some((namespace, name)) = self.repo() else {
            return Vec::new();
        };
        let mut all: Vec<&Snapshot> = self
            .found
            .snapshots
            .iter()
            .filter(|s| s.spec.repository == name && s.namespace().as_deref() == Some(namespace))
            .collect();
        all.sort_by_key(|s| std::cmp::Reverse(snapshot_time(s)));
        all
    }

    /// The Snapshot that `--snapshot` means now.
    fn snapshot(&self) -> Option<&Snapshot> {
        let all = self.snapshots();
        match self.answers.snapshot.as_deref()? {
            LATEST => all.into_iter().find(|s| succeeded(s)),
            name => all.into_iter().find(|s| s.name_any() == name),
        }
    }

    /// The Addon that made the backups of the Repository.
    fn backup_addon(&self) -> Option<&AddonInfo> {
        let (_, name) = self.repo()?;
        self.found
            .configurations
            .iter()
            .flat_map(|c| &c.spec.sessions)
            .find(|s| s.repositories.iter().any(|r| r.name == name))?
            .addon
            .as_ref()
    }

    /// Kind, namespace (where it is not the session's) and name of the target.
    fn target(&self) -> Option<(&'static Kind, Option<String>, String)> {
        if let Some(text) = &self.answers.target {
            let (kind, name) = parse_target(text).ok()?;
            return Some((kind, self.answers.target_namespace.clone(), name.to_owned()));
        }
        let own = self.repository()?.spec.app_ref.as_ref()?;
        let kind = kind_of(own)?;
        let elsewhere = own
            .namespace
            .clone()
            .filter(|n| !n.is_empty() && *n != self.found.namespace);
        Some((kind, elsewhere, own.name.clone()))
    }
}

fn kind_of(reference: &TypedObjectReference) -> Option<&'static Kind> {
    let kind = reference.kind.as_deref()?;
    target::KINDS.into_iter().find(|k| k.kind == kind)
}

fn succeeded(snapshot: &Snapshot) -> bool {
    snapshot.status.as_ref().and_then(|s| s.phase) == Some(SnapshotPhase::Succeeded)
}

/// The steps in order.
pub const STEPS: &[Step<State>] = &[
    repository,
    snapshot,
    components,
    target_step,
    task_step,
    files,
    name,
    check,
];

fn repository(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
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
            Err(super::prompter::Halt::Missing) => Err(super::prompter::Halt::Missing),
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
        parts.push(human::counted(usize::try_from(count).unwrap_or(0), "Snapshot"));
    }
    parts.extend(status.size.filter(|s| !s.is_empty()));
    if let Some(time) = last_backup(repository) {
        parts.push(format!("last backup {} ago", human::age(time, now)));
    }
    parts.join(" · ")
}

fn snapshot(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
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

fn components(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
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

fn target_step(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    let Some(repository) = state.repository().cloned() else {
        return unknown_source(state, prompter);
    };
    let own = repository.spec.app_ref.clone();
    let own_kind = own.as_ref().and_then(kind_of);
    if let Some(text) = &state.answers.target {
        let (kind, name) = parse_target(text).or_else(fail)?;
        return fits(state, kind, name, own_kind);
    }
    let found = state.found.clone();
    if state.in_place {
        let Some((kind, None, name)) = state.target() else {
            return Ok(());
        };
        return fits(state, kind, &name, own_kind);
    }
    if state.elsewhere {
        return ask_elsewhere(state, own_kind, prompter);
    }
    let in_place = own
        .as_ref()
        .zip(own_kind)
        .map(|(own, kind)| format!("{}/{}", target::word(kind), own.name));
    let mut choices = Vec::new();
    if let Some(word) = &in_place {
        choices.push(Choice::new(
            word,
            "where it came from; files of the Snapshot replace those of their names",
        ));
    }
    let same_class =
        |kind: &Kind| own_kind.is_none_or(|own| (own == &kinds::CLAIM) == (kind == &kinds::CLAIM));
    choices.extend(
        found
            .targets
            .iter()
            .filter(|t| t.has_data() && same_class(t.kind) && Some(t.word()) != in_place)
            .map(|t| Choice::new(t.word(), t.detail.clone())),
    );
    const ELSEWHERE: &str = "in another namespace";
    choices.push(Choice::new(ELSEWHERE, ""));
    let mut question = Question::new(
        "--target",
        "Restore into",
        "It must exist. Files that the Snapshot does not have stay as they are.",
    );
    question.must = in_place.is_none();
    let chosen = choose(prompter, &question, &choices, in_place.as_deref())?;
    if chosen == ELSEWHERE {
        state.elsewhere = true;
    } else if Some(&chosen) == in_place.as_ref() {
        state.in_place = true;
    } else {
        state.answers.target = Some(chosen);
    }
    Ok(())
}

/// A Repository that cannot be read: what it is of is not known either.
fn unknown_source(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    if state.answers.repo.is_none() {
        return Ok(());
    }
    if let Some(text) = &state.answers.target {
        return parse_target(text).map(|_| ()).or_else(fail);
    }
    let question = Question::new("--target", "Restore into", "As KIND/NAME.").must();
    let text = prompter.text(&question, None, &|t| parse_target(t).map(|_| String::new()))?;
    state.answers.target = Some(text);
    Ok(())
}

fn ask_elsewhere(state: &mut State, own: Option<&'static Kind>, prompter: &mut dyn Prompter) -> Reply<()> {
    let found = state.found.clone();
    if state.answers.target_namespace.is_none() {
        let choices: Vec<Choice> = found
            .namespaces
            .iter()
            .filter(|n| n.name != found.namespace)
            .map(|n| Choice::new(&n.name, ""))
            .collect();
        let question = Question::new("--target-namespace", "Namespace of the target", "");
        let chosen = if choices.is_empty() {
            prompter.text(&question, None, &|t| names::check(t).map(|()| String::new()))?
        } else {
            choose(prompter, &question, &choices, None)?
        };
        state.answers.target_namespace = Some(chosen);
        return Ok(());
    }
    let question = Question::new("--target", "Restore into", "As KIND/NAME; it must exist there.");
    let text = prompter.text(&question, None, &|t| {
        let (kind, _) = parse_target(t)?;
        class(kind, own).map(|()| String::new())
    })?;
    state.answers.target = Some(text);
    Ok(())
}

/// What was read from a claim goes into a claim, and what was read from a workload into a workload: their paths differ.
fn class(kind: &Kind, own: Option<&'static Kind>) -> Result<(), String> {
    match own {
        Some(own) if (own == &kinds::CLAIM) != (kind == &kinds::CLAIM) => Err(format!(
            "the backup was made of a {}, whose paths a {} does not have",
            own.kind, kind.kind
        )),
        _ => Ok(()),
    }
}

fn fits(state: &State, kind: &'static Kind, name: &str, own: Option<&'static Kind>) -> Reply<()> {
    class(kind, own).or_else(fail)?;
    let found = &state.found;
    let here = state
        .answers
        .target_namespace
        .as_ref()
        .is_none_or(|n| *n == found.namespace);
    if here && found.read(kind) && !found.targets.iter().any(|t| t.kind == kind && t.name == name) {
        return fail_with(
            format!("{} {name} in namespace {} not found", kind.kind, found.namespace),
            "create it first, or name another with --target KIND/NAME",
        );
    }
    Ok(())
}

/// The Addon and the task that restore, with the task's definition where it could be read.
fn chosen(state: &State) -> Option<(String, String, Option<&Task>)> {
    let (kind, ..) = state.target()?;
    let backup = state.backup_addon();
    let name = state
        .answers
        .addon
        .clone()
        .or_else(|| backup.map(|a| a.name.clone()))
        .unwrap_or_else(|| {
            if *kind == kinds::CLAIM {
                "pvc-addon"
            } else {
                "workload-addon"
            }
            .to_owned()
        });
    let made_by = backup
        .and_then(|a| a.tasks.first())
        .map_or("logical-backup", |t| t.name.as_str());
    let wanted = state
        .answers
        .task
        .clone()
        .unwrap_or_else(|| format!("{made_by}-restore"));
    let addon = state
        .found
        .addons
        .iter()
        .find(|a| a.metadata.name.as_deref() == Some(&name));
    let task = addon.and_then(|a| a.spec.restore_tasks.iter().find(|t| t.name == wanted));
    Some((name, wanted, task))
}

fn params(state: &State) -> Result<std::collections::BTreeMap<String, String>, String> {
    let mut params = super::backup::pairs(&state.answers.param)?;
    for (name, patterns) in [
        ("include", &state.answers.include),
        ("exclude", &state.answers.exclude),
    ] {
        let patterns: Vec<&str> = patterns
            .iter()
            .map(String::as_str)
            .filter(|p| !p.is_empty())
            .collect();
        if !patterns.is_empty() {
            params.insert(name.to_owned(), patterns.join(","));
        }
    }
    Ok(params)
}

fn task_step(state: &mut State, _: &mut dyn Prompter) -> Reply<()> {
    let given = params(state).or_else(fail)?;
    let Some((name, wanted, task)) = chosen(state) else {
        return Ok(());
    };
    let known = state
        .found
        .addons
        .iter()
        .find(|a| a.metadata.name.as_deref() == Some(&name));
    let Some(addon) = known else {
        if state.found.read(&kinds::ADDON) {
            return fail_with(
                format!("Addon {name} not found"),
                "`kubectl kubestash install` installs the catalog",
            );
        }
        return Ok(());
    };
    let Some(task) = task else {
        let names: Vec<&str> = addon.spec.restore_tasks.iter().map(|t| t.name.as_str()).collect();
        return fail_with(
            format!("Addon {name} has no task {wanted}"),
            format!("it restores with: {}", names.join(", ")),
        );
    };
    let unknown = given
        .keys()
        .find(|key| !task.parameters.iter().any(|p| p.name == **key));
    if let Some(unknown) = unknown {
        let names: Vec<&str> = task.parameters.iter().map(|p| p.name.as_str()).collect();
        return fail_with(
            format!("task {wanted} of Addon {name} has no parameter {unknown}"),
            format!("it has: {}", names.join(", ")),
        );
    }
    Ok(())
}

fn files(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    let Some((_, _, Some(task))) = chosen(state) else {
        return Ok(());
    };
    let parameters = task.parameters.clone();
    let given = !state.answers.include.is_empty() || !state.answers.exclude.is_empty();
    if !parameters.iter().any(|p| p.name == "include") || (given && !state.files_asked) {
        return Ok(());
    }
    if !state.files_asked {
        let choices = [
            Choice::new("everything", "all files of the components"),
            Choice::new("some files", "only those that match patterns"),
            Choice::new("all but some", "everything except what matches patterns"),
        ];
        let question = Question::new("--include", "Which files", "");
        let index = prompter.select(&question, &choices, Some(0))?;
        state.files_asked = true;
        state.files = match index {
            1 => vec!["include".to_owned()],
            2 => vec!["exclude".to_owned()],
            _ => Vec::new(),
        };
        return Ok(());
    }
    let Some(name) = state.files.pop() else {
        return Ok(());
    };
    let usage = parameters
        .into_iter()
        .find(|p| p.name == name)
        .map(|p| p.usage)
        .unwrap_or_default();
    let question = Question::new(&format!("--{name}"), "Patterns, separated by commas", usage);
    let text = prompter.text(&question, None, &|t| {
        if t.is_empty() {
            Err("write at least one, such as *.conf".to_owned())
        } else {
            Ok(String::new())
        }
    })?;
    if name == "include" {
        state.answers.include = vec![text];
    } else {
        state.answers.exclude = vec![text];
    }
    Ok(())
}

fn name(state: &mut State, _: &mut dyn Prompter) -> Reply<()> {
    if let Some(name) = &state.answers.name {
        return names::check(name).or_else(fail);
    }
    // Each restore is an object of its own, and nobody needs to think of its name.
    if let Some((_, repo)) = state.repo() {
        let number = state.found.now.as_second().to_string();
        state.answers.name = Some(naming::join3(repo, "restore", &number));
    }
    Ok(())
}

fn check(state: &mut State, _: &mut dyn Prompter) -> Reply<()> {
    if let Some(text) = &state.answers.restore_timeout {
        human::parse_duration(text).map(|_| ()).or_else(fail)?;
    }
    match manifests(state) {
        Some(objects) => admitted(&state.found, &objects),
        None => Ok(()),
    }
}

/// Namespace of the target, where it is known.
pub fn target_namespace(state: &State) -> String {
    state
        .target()
        .and_then(|(_, namespace, _)| namespace)
        .unwrap_or_else(|| state.found.namespace.clone())
}

/// The RestoreSession that the answers make; `None` while essential answers are missing.
pub fn manifests(state: &State) -> Option<Vec<Value>> {
    let answers = &state.answers;
    let (source_namespace, repo) = state.repo()?;
    let (kind, target_namespace, target_name) = state.target()?;
    let (addon, task, _) = chosen(state)?;
    let mut source = json!({"repository": repo, "snapshot": answers.snapshot.as_deref().unwrap_or(LATEST)});
    if source_namespace != state.found.namespace {
        source["namespace"] = json!(source_namespace);
    }
    if !answers.components.is_empty() {
        source["components"] = json!(answers.components);
    }
    let mut reference = json!({"name": task});
    let params = params(state).ok()?;
    if !params.is_empty() {
        reference["params"] = json!(params);
    }
    // Volumes that the user named for the backup are those to restore into.
    let volumes = state
        .backup_addon()
        .and_then(|a| a.tasks.first())
        .and_then(|t| t.target_volumes.clone());
    if let Some(volumes) = volumes {
        reference["targetVolumes"] = serde_json::to_value(volumes).ok()?;
    }
    let mut addon = json!({"name": addon, "tasks": [reference]});
    if let Some(user) = answers.run_as_user {
        addon["jobTemplate"] = json!({"spec": {"securityContext": {"runAsUser": user}}});
    }
    let target_namespace = target_namespace.unwrap_or_else(|| state.found.namespace.clone());
    let mut spec = json!({
        "target": {"apiGroup": kind.group, "kind": kind.kind, "namespace": target_namespace, "name": target_name},
        "dataSource": source,
        "addon": addon,
    });
    if let Some(timeout) = &answers.restore_timeout {
        spec["restoreTimeout"] = json!(human::go_duration(human::parse_duration(timeout).ok()?));
    }
    Some(vec![json!({
        "apiVersion": kinds::RESTORE_SESSION.api_version(),
        "kind": kinds::RESTORE_SESSION.kind,
        "metadata": {"name": answers.name.as_deref()?, "namespace": state.found.namespace},
        "spec": spec,
    })])
}

#[cfg(test)]
mod tests;
