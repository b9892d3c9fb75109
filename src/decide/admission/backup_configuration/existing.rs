//! What a BackupConfiguration may say about Repositories and directories: one directory is one Repository, in the
//! object and in the cluster, and an existing Repository stays what it is.

use std::collections::BTreeMap;

use kube::ResourceExt;

use super::super::Review;
use super::super::facts::find;
use super::backend_of;
use crate::api::core::{BackupConfiguration, RepositoryInfo, Session};
use crate::api::shared::{ObjectReference, TypedObjectReference};
use crate::api::storage::Repository;
use crate::decide::naming::join_path;

/// What a configuration without target stands for.
const NO_TARGET: (&str, &str, &str) = ("na", "", "na");

/// Repositories that exist already: the session must mean the same application, storage and directory, and no other
/// Repository may use the directory.
pub(super) fn check_existing(review: &mut Review<'_, BackupConfiguration>, path: &str, session: &Session) {
    let backends = &review.new.spec.backends;
    for (index, info) in session.repositories.iter().enumerate() {
        let path = format!("{path}.repositories[{index}]");
        let storage = backend_of(info, backends).and_then(|backend| backend.storage_ref.as_ref());
        if let Some(existing) = find(&review.facts.repositories, review.namespace, &info.name) {
            same_application(review, &path, existing);
            same_place(review, &path, existing, info, storage);
        }
        let Some(storage) = storage else { continue };
        let wanted = (
            storage.namespace_or(review.namespace),
            storage.name.as_str(),
            join_path([info.directory.as_str()]),
        );
        let taken = review.facts.repositories.iter().find(|other| {
            let theirs = other.metadata.namespace.as_deref().unwrap_or_default();
            let own = theirs == review.namespace && other.name_any() == info.name;
            let reference = other.spec.storage_ref.as_ref();
            !own && reference.is_some_and(|reference| {
                (
                    reference.namespace_or(theirs),
                    reference.name.as_str(),
                    join_path([other.spec.path.as_str()]),
                ) == wanted
            })
        });
        if let Some(taken) = taken.cloned() {
            review.deny(
                format!("{path}.directory"),
                format!(
                    "Repository {}/{} uses directory \"{}\" of BackupStorage {}/{} already; choose another directory",
                    taken.namespace().unwrap_or_default(),
                    taken.name_any(),
                    info.directory,
                    wanted.0,
                    wanted.1
                ),
            );
        }
    }
}

fn same_application(review: &mut Review<'_, BackupConfiguration>, path: &str, existing: &Repository) {
    let namespace = review.namespace;
    let wanted = application(review.new.spec.target.as_ref(), namespace);
    let theirs = application(existing.spec.app_ref.as_ref(), namespace);
    if wanted != theirs {
        review.deny(
            format!("{path}.name"),
            format!(
                "Repository {namespace}/{} exists and belongs to {}, not to {}; choose another name",
                existing.name_any(),
                named(&theirs),
                named(&wanted)
            ),
        );
    }
}

type Application<'a> = (&'a str, &'a str, &'a str, &'a str);

fn application<'a>(reference: Option<&'a TypedObjectReference>, own: &'a str) -> Application<'a> {
    match reference {
        Some(target) => (
            target.group(),
            target.kind(),
            target.namespace_or(own),
            target.name.as_str(),
        ),
        None => (NO_TARGET.0, NO_TARGET.1, own, NO_TARGET.2),
    }
}

fn named((group, kind, namespace, name): &Application<'_>) -> String {
    if (*group, *kind, *name) == NO_TARGET {
        return "no application".to_owned();
    }
    format!("{kind} {namespace}/{name}")
}

fn same_place(
    review: &mut Review<'_, BackupConfiguration>,
    path: &str,
    existing: &Repository,
    info: &RepositoryInfo,
    storage: Option<&ObjectReference>,
) {
    let namespace = review.namespace;
    if let (Some(wanted), Some(theirs)) = (storage, existing.spec.storage_ref.as_ref()) {
        let (wanted_ns, theirs_ns) = (wanted.namespace_or(namespace), theirs.namespace_or(namespace));
        if (wanted_ns, &wanted.name) != (theirs_ns, &theirs.name) {
            review.deny(
                format!("{path}.backend"),
                format!(
                    "Repository {namespace}/{} exists in BackupStorage {theirs_ns}/{}, not in {wanted_ns}/{}; choose another name or backend",
                    info.name, theirs.name, wanted.name
                ),
            );
        }
    }
    if !info.directory.is_empty()
        && join_path([info.directory.as_str()]) != join_path([existing.spec.path.as_str()])
    {
        review.deny(
            format!("{path}.directory"),
            format!(
                "Repository {namespace}/{} exists with directory \"{}\", which cannot be changed; use that, or choose another name",
                info.name, existing.spec.path
            ),
        );
    }
}

/// Inside the object: one directory is one repository on one backend, wherever it is named.
pub(super) fn one_directory_one_repository(review: &mut Review<'_, BackupConfiguration>) {
    let mut seen: BTreeMap<String, (&str, &str)> = BTreeMap::new();
    let mut directories: BTreeMap<&str, String> = BTreeMap::new();
    for (s, session) in review.new.spec.sessions.iter().enumerate() {
        for (r, info) in session.repositories.iter().enumerate() {
            if info.directory.is_empty() || info.name.is_empty() {
                continue;
            }
            let path = format!("spec.sessions[{s}].repositories[{r}].directory");
            let directory = join_path([info.directory.as_str()]);
            let user = (info.name.as_str(), info.backend.as_str());
            if let Some((name, backend)) = seen.get(&directory).filter(|known| **known != user) {
                let by = if *name == info.name {
                    format!("by repository {name} on backend \"{backend}\"")
                } else {
                    format!("by repository {name}")
                };
                review.deny(
                    &path,
                    format!(
                        "directory \"{}\" is used {by} as well; give each repository its own",
                        info.directory
                    ),
                );
            }
            seen.entry(directory.clone()).or_insert(user);
            if let Some(known) = directories
                .get(info.name.as_str())
                .filter(|known| **known != directory)
            {
                review.deny(
                    &path,
                    format!("repository {} has directory \"{known}\" in another place of this object; a Repository has one directory", info.name),
                );
            }
            directories.entry(&info.name).or_insert(directory);
        }
    }
}
