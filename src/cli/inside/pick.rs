//! Snapshots as people name them, and where in the repository their data is.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

use kube::ResourceExt;
use serde::de::DeserializeOwned;

use super::entry::shown;
use super::{CliError, Sink};
use crate::api::core::BackupConfiguration;
use crate::api::labels::REPO_NAME;
use crate::api::storage::{Driver, Snapshot, SnapshotPhase};
use crate::cli::context::Context;
use crate::cli::error::Exit;
use crate::cli::names::{self, Named};
use crate::cli::objects::{self, Files};
use crate::cluster::{Cluster, Error, ListOptions, kinds};
use crate::decide::backup::label;
use crate::output::human;

/// What a snapshot may be named by.
const NAMED_BY: [&crate::cluster::Kind; 3] =
    [&kinds::SNAPSHOT, &kinds::BACKUP_CONFIGURATION, &kinds::REPOSITORY];

/// One restic snapshot of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The component.
    pub component: String,
    /// Directory of the restic repository, below the Repository's path.
    pub component_path: String,
    /// restic's id.
    pub id: String,
    /// The path that was read, with a leading slash.
    pub top: String,
}

impl Part {
    /// Its path and whose it is.
    pub fn told(&self) -> (String, &str) {
        (self.top.clone(), &self.component)
    }
}

/// A Snapshot that was named, with the parts that were asked for.
#[derive(Debug, Clone)]
pub struct Picked {
    /// The Snapshot.
    pub snapshot: Snapshot,
    /// Its parts.
    pub parts: Vec<Part>,
}

/// Finds the Snapshot: `NAME`, `snapshot/NAME`, or the newest that succeeded of `bc/NAME` or `repo/NAME`.
///
/// # Errors
/// When it or a component does not exist, or its data is in no restic repository.
pub async fn pick(context: &Context, typed: &str, components: &[String]) -> Result<Picked, CliError> {
    pick_named(context, names::parse(typed, &NAMED_BY)?, components).await
}

/// As [`pick`], of words that go on after the Snapshot (`snapshot ls SNAPSHOT PATH`) or of `-f`; answers what is left.
///
/// # Errors
/// As [`pick`], and for words that name no Snapshot or several.
pub async fn first<W: AsRef<OsStr>>(
    context: &Context,
    words: &[W],
    files: &Files,
    components: &[String],
) -> Result<(Picked, Vec<OsString>), CliError> {
    let (typed, rest) = objects::first(context, words, &files.filename, &NAMED_BY)?;
    let picked = pick_named(context, typed.named(), components).await?;
    Ok((picked, rest))
}

async fn pick_named(context: &Context, named: Named<'_>, components: &[String]) -> Result<Picked, CliError> {
    let snapshot: Snapshot = find(context, named).await?;
    let parts = parts(&snapshot, components)?;
    Ok(Picked { snapshot, parts })
}

/// The two Snapshots that a command is about.
///
/// # Errors
/// As [`pick`], and for another number than two.
pub async fn pair(
    context: &Context,
    words: &[String],
    files: &Files,
    components: &[String],
) -> Result<(Picked, Picked), CliError> {
    let (a, b) = objects::pair(context, words, &files.filename, &NAMED_BY)?;
    let a = pick_named(context, a.named(), components).await?;
    let b = pick_named(context, b.named(), components).await?;
    Ok((a, b))
}

/// The only Snapshot that a command is about.
///
/// # Errors
/// As [`pick`], and for another number than one.
pub async fn one(
    context: &Context,
    words: &[String],
    files: &Files,
    components: &[String],
) -> Result<Picked, CliError> {
    let typed = objects::one(context, words, &files.filename, &NAMED_BY)?;
    pick_named(context, typed.named(), components).await
}

/// The only Snapshot that a command is about, as the type that shows it: no matter whether there are files in it.
///
/// # Errors
/// As [`one`], but for components.
pub async fn shown_as<T: DeserializeOwned>(
    context: &Context,
    words: &[String],
    files: &Files,
) -> Result<T, CliError> {
    let typed = objects::one(context, words, &files.filename, &NAMED_BY)?;
    find(context, typed.named()).await
}

/// A Snapshot by its name, else the newest that succeeded of what was named, which is then told.
async fn find<T: DeserializeOwned>(context: &Context, named: Named<'_>) -> Result<T, CliError> {
    let (cluster, namespace) = (context.cluster().await?, context.namespace().await?);
    let kind = named.kind;
    if kind.is_none_or(|k| k == &kinds::SNAPSHOT) {
        let lists = format!("`kubectl kubestash snapshot list -n {namespace}` lists them");
        match cluster.get(&kinds::SNAPSHOT, Some(namespace), named.name).await {
            Ok(found) => return Ok(found),
            Err(Error::NotFound { .. }) if kind.is_none() => {}
            Err(error) => return Err(CliError::from(error).hint(lists)),
        }
    }
    let newest = newest(cluster, namespace, named).await?;
    let taken = time(&newest)
        .map(|t| format!(", taken {} ago", human::age(t, context.now)))
        .unwrap_or_default();
    context.ui.say(&format!(
        "Snapshot {}{taken}: the newest of {} {} that succeeded",
        newest.name_any(),
        kind.map_or(kinds::BACKUP_CONFIGURATION.kind, |k| k.kind),
        named.name,
    ));
    let shown = serde_json::to_value(newest).and_then(serde_json::from_value);
    shown.map_err(|e| CliError::new(Exit::Error, "a Snapshot cannot be shown").cause(e.to_string()))
}

/// The newest Snapshot that succeeded of a Repository or a BackupConfiguration.
async fn newest(cluster: &Cluster, namespace: &str, named: Named<'_>) -> Result<Snapshot, CliError> {
    let kind = named.kind;
    let repositories = if kind == Some(&kinds::REPOSITORY) {
        vec![named.name.to_owned()]
    } else {
        let found: Result<BackupConfiguration, Error> = cluster
            .get(&kinds::BACKUP_CONFIGURATION, Some(namespace), named.name)
            .await;
        match found {
            Ok(configuration) => repositories(&configuration),
            Err(Error::NotFound { .. }) if kind.is_none() => {
                let what = format!(
                    "Snapshot or BackupConfiguration {} in namespace {namespace}",
                    named.name
                );
                return Err(CliError::from(Error::NotFound { what }).hint(format!(
                    "`kubectl kubestash snapshot list -n {namespace}` lists the Snapshots"
                )));
            }
            Err(error) => return Err(error.into()),
        }
    };
    let mut newest: Option<Snapshot> = None;
    for repository in &repositories {
        for snapshot in of_repository(cluster, namespace, repository).await? {
            if succeeded(&snapshot) && newest.as_ref().is_none_or(|n| time(n) < time(&snapshot)) {
                newest = Some(snapshot);
            }
        }
    }
    newest.ok_or_else(|| {
        CliError::new(
            Exit::NothingMatched,
            format!("{} has no Snapshot that succeeded", named.name),
        )
        .hint(format!(
            "`kubectl kubestash snapshot list -n {namespace}` lists what there is"
        ))
    })
}

/// The Repositories of a BackupConfiguration, each once.
pub fn repositories(configuration: &BackupConfiguration) -> Vec<String> {
    let mut all: Vec<String> = configuration
        .spec
        .sessions
        .iter()
        .flat_map(|s| &s.repositories)
        .map(|r| r.name.clone())
        .collect();
    all.sort();
    all.dedup();
    all
}

/// All Snapshots of a Repository, oldest first.
///
/// # Errors
/// When they cannot be listed to the end.
pub async fn of_repository(
    cluster: &Cluster,
    namespace: &str,
    repository: &str,
) -> Result<Vec<Snapshot>, CliError> {
    let options = ListOptions::of(namespace).labelled(format!("{REPO_NAME}={}", label(repository)));
    let mut all: Vec<Snapshot> = cluster.list(&kinds::SNAPSHOT, &options).await?;
    // A label may be shortened; the field is exact.
    all.retain(|s| s.spec.repository == repository);
    all.sort_by_key(time);
    Ok(all)
}

/// When it was taken.
pub fn time(snapshot: &Snapshot) -> Option<jiff::Timestamp> {
    let taken = snapshot.status.as_ref().and_then(|s| s.snapshot_time.as_ref());
    taken
        .or(snapshot.metadata.creation_timestamp.as_ref())
        .map(|time| time.0)
}

fn phase(snapshot: &Snapshot) -> Option<SnapshotPhase> {
    snapshot.status.as_ref().and_then(|s| s.phase)
}

/// Whether its backup succeeded.
#[must_use]
pub fn succeeded(snapshot: &Snapshot) -> bool {
    phase(snapshot) == Some(SnapshotPhase::Succeeded)
}

/// The restic snapshots of the named components; of all when none is named.
///
/// # Errors
/// When a component does not exist or has no data of restic's.
pub fn parts(snapshot: &Snapshot, wanted: &[String]) -> Result<Vec<Part>, CliError> {
    let name = snapshot.name_any();
    let known = snapshot
        .status
        .as_ref()
        .map(|s| s.components.clone())
        .unwrap_or_default();
    if let Some(missing) = wanted.iter().find(|w| !known.contains_key(*w)) {
        let names: Vec<&str> = known.keys().map(String::as_str).collect();
        return Err(CliError::new(
            Exit::NothingMatched,
            format!("Snapshot {name} has no component {missing}"),
        )
        .hint(format!("it has: {}", names.join(", "))));
    }
    let mut parts = Vec::new();
    let mut others = Vec::new();
    for (component, state) in &known {
        if !wanted.is_empty() && !wanted.contains(component) {
            continue;
        }
        let before = parts.len();
        for summary in state.restic_stats.iter().filter_map(|s| s.summary.as_ref()) {
            let (Some(id), Some(path)) = (&summary.id, &state.path) else {
                continue;
            };
            let top = summary.host_path.clone().unwrap_or_default();
            parts.push(Part {
                component: component.clone(),
                component_path: path.clone(),
                id: id.clone(),
                top: format!("/{}", top.trim_matches('/')),
            });
        }
        if parts.len() == before {
            let why = match &state.driver {
                Some(driver) if *driver != Driver::Restic => format!("{component} (kept by {driver})"),
                _ => component.clone(),
            };
            others.push(why);
        }
    }
    if parts.is_empty() {
        let what = if others.is_empty() {
            "it has no components".to_owned()
        } else {
            format!("of these components there are none: {}", others.join(", "))
        };
        return Err(CliError::new(
            Exit::Precondition,
            format!("Snapshot {name} has no files to look at"),
        )
        .cause(what));
    }
    Ok(parts)
}

impl Picked {
    /// The Repository's name.
    pub fn repository(&self) -> &str {
        &self.snapshot.spec.repository
    }

    /// The Snapshot's name.
    pub fn name(&self) -> String {
        self.snapshot.name_any()
    }

    /// Whether output must say which component a path is of.
    pub fn several(&self) -> bool {
        self.parts
            .windows(2)
            .any(|two| matches!(two, [a, b] if a.component != b.component))
    }

    /// Refuses paths that lie beside everything that was backed up, before anything is started to look for them.
    ///
    /// # Errors
    /// For the first of them, with the paths that there are.
    pub fn may_hold<'p>(&self, paths: impl IntoIterator<Item = &'p [u8]>) -> Result<(), CliError> {
        let beside = |path: &&[u8]| self.places(Some(path)).is_empty();
        match paths.into_iter().find(beside) {
            Some(path) => Err(self.nowhere(path)),
            None => Ok(()),
        }
    }

    /// No part has the path.
    pub fn nowhere(&self, path: &[u8]) -> CliError {
        let name = self.name();
        CliError::new(
            Exit::NothingMatched,
            format!("{} is not in Snapshot {name}", shown(path)),
        )
        .hint(format!("it holds: {}", tops(self.parts.iter().map(Part::told))))
        .hint("a path without a slash in front is meant below each of them")
    }

    /// The parts that may hold a path, each with the full path in it. Without a path the top of each; a path that does not
    /// begin with a slash is meant below the top.
    pub fn places(&self, path: Option<&[u8]>) -> Vec<(Part, Vec<u8>)> {
        places(&self.parts, path)
    }
}

/// See [`Picked::places`].
pub fn places(parts: &[Part], path: Option<&[u8]>) -> Vec<(Part, Vec<u8>)> {
    let Some(path) = path.filter(|p| !p.is_empty()) else {
        return parts
            .iter()
            .map(|part| (part.clone(), part.top.clone().into_bytes()))
            .collect();
    };
    let mut found: Vec<(Part, Vec<u8>)> = Vec::new();
    for part in parts {
        let full = full(part, path);
        let inside =
            |a: &[u8], b: &[u8]| a == b || b == b"/" || (a.starts_with(b) && a.get(b.len()) == Some(&b'/'));
        if inside(&full, part.top.as_bytes()) || inside(part.top.as_bytes(), &full) {
            found.push((part.clone(), full));
        }
    }
    found
}

/// Paths that were backed up in words, each once with its components.
pub fn tops<'a>(parts: impl IntoIterator<Item = (String, &'a str)>) -> String {
    let mut by_top: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for (top, component) in parts {
        by_top.entry(top).or_default().insert(component);
    }
    let told: Vec<String> = by_top
        .into_iter()
        .map(|(top, components)| {
            let components: Vec<&str> = components.into_iter().collect();
            format!("{top} ({})", components.join(", "))
        })
        .collect();
    told.join(", ")
}

/// A path in a part: absolute paths stay, others are below its top; `.`, doubled and trailing slashes go.
pub fn full(part: &Part, path: &[u8]) -> Vec<u8> {
    let mut full = if path.starts_with(b"/") {
        Vec::new()
    } else {
        part.top.trim_end_matches('/').as_bytes().to_vec()
    };
    for segment in path.split(|b| *b == b'/').filter(|s| !s.is_empty() && *s != b".") {
        full.push(b'/');
        full.extend_from_slice(segment);
    }
    if full.is_empty() {
        full.push(b'/');
    }
    full
}

/// Cuts an answer into lines and hands each on.
pub struct Lines<F> {
    rest: Vec<u8>,
    each: F,
}

impl<F: FnMut(&[u8]) -> Result<(), CliError>> Lines<F> {
    /// For each whole line.
    pub fn new(each: F) -> Self {
        Lines {
            rest: Vec::new(),
            each,
        }
    }
}

impl<F: FnMut(&[u8]) -> Result<(), CliError>> Sink for Lines<F> {
    fn data(&mut self, data: &[u8]) -> Result<(), CliError> {
        let mut rest = data;
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            let (line, later) = rest.split_at(end);
            if self.rest.is_empty() {
                (self.each)(line)?;
            } else {
                self.rest.extend_from_slice(line);
                (self.each)(&self.rest)?;
                self.rest.clear();
            }
            rest = later.get(1..).unwrap_or_default();
        }
        self.rest.extend_from_slice(rest);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(top: &str) -> Part {
        Part {
            component: "dump".into(),
            component_path: "repository/v1/daily/dump".into(),
            id: "ab".into(),
            top: top.into(),
        }
    }

    fn paths(tops: &[&str], path: Option<&str>) -> Vec<String> {
        let parts: Vec<Part> = tops.iter().map(|t| part(t)).collect();
        let found = places(&parts, path.map(str::as_bytes));
        found
            .into_iter()
            .map(|(_, path)| String::from_utf8(path).unwrap())
            .collect()
    }

    #[test]
    fn paths_are_found_in_the_parts_that_may_hold_them() {
        assert_eq!(paths(&["/data", "/etc"], None), ["/data", "/etc"]);
        assert_eq!(paths(&["/data", "/etc"], Some("/data/a")), ["/data/a"]);
        assert_eq!(
            paths(&["/data", "/etc"], Some("a//b/")),
            ["/data/a/b", "/etc/a/b"]
        );
        assert_eq!(paths(&["/data/x"], Some("/data")), ["/data"]);
        assert_eq!(paths(&["/data"], Some("/")), ["/"]);
        assert!(paths(&["/data"], Some("/database")).is_empty());
        assert_eq!(paths(&["/dumpfile.sql"], Some("./")), ["/dumpfile.sql"]);
    }

    #[test]
    fn lines_are_whole_however_they_arrive() {
        let mut seen: Vec<String> = Vec::new();
        let mut lines = Lines::new(|line: &[u8]| {
            seen.push(String::from_utf8_lossy(line).into_owned());
            Ok(())
        });
        for piece in ["a", "b\nc\n", "", "d", "\n"] {
            lines.data(piece.as_bytes()).unwrap();
        }
        drop(lines);
        assert_eq!(seen, ["ab", "c", "d"]);
    }
}
