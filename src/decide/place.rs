//! Where a storage is: whether two backends share a directory, and whether one lies inside the other.
//!
//! Called by admission (two storages at one place are refused) and by the BackupStorage controller (wiping one storage
//! must not touch another whose prefix lies inside it).

use crate::api::storage::{Backend, Provider};
use crate::decide::naming::join_path;

/// What a backend points at: two equal places would share their data. Volumes are never compared.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    root: Vec<String>,
    prefix: String,
}

/// Where Jobs cannot mount a volume, in words; `None`: the mount path of a local storage is as good as any.
#[must_use]
pub fn mount_refusal(backend: &Backend) -> Option<String> {
    let path = backend.local.as_ref()?.mount_path.as_deref()?;
    let inner = path.trim_matches('/');
    let what = if inner == "kubestash" || inner.starts_with("kubestash/") {
        "lies where the image has its program, /kubestash"
    } else if inner.split('/').any(|part| part == "..") {
        "holds \"..\""
    } else {
        return None;
    };
    Some(format!(
        "spec.storage.local.mountPath: {path} {what}; mount the volume elsewhere, such as /backups"
    ))
}

/// What is wrong with a directory or prefix of a storage, in words; `None` when restic and the documents beside its data
/// find the same place. restic reads addresses as URLs: what means something there would lead it elsewhere.
#[must_use]
pub fn directory_refusal(directory: &str) -> Option<String> {
    let odd = |c: &char| "%?#\\".contains(*c) || c.is_control();
    if let Some(odd) = directory.chars().find(odd) {
        return Some(format!(
            "\"{}\" holds {odd:?}, which means something else in an address; use letters, digits, '-', '_' and '.'",
            directory.escape_debug()
        ));
    }
    directory
        .split('/')
        .any(|part| part == "..")
        .then(|| format!("\"{directory}\" leads out of the storage; leave \"..\" away"))
}

impl Place {
    /// The place of a backend; `None` for volumes and incomplete backends.
    #[must_use]
    pub fn of(backend: &Backend) -> Option<Self> {
        let (root, prefix) = match backend.known_provider()? {
            Provider::Local => return None,
            Provider::S3 => {
                let s3 = backend.s3.as_ref()?;
                let region = s3.region.clone().unwrap_or_default();
                (
                    vec![
                        "s3".to_owned(),
                        host(s3.endpoint.as_deref()),
                        s3.bucket.clone(),
                        region,
                    ],
                    s3.prefix.as_deref(),
                )
            }
            Provider::Gcs => {
                let gcs = backend.gcs.as_ref()?;
                (vec!["gcs".to_owned(), gcs.bucket.clone()], gcs.prefix.as_deref())
            }
            Provider::Azure => {
                let azure = backend.azure.as_ref()?;
                let account = azure.storage_account.clone().unwrap_or_default();
                (
                    vec!["azure".to_owned(), account, azure.container.clone()],
                    azure.prefix.as_deref(),
                )
            }
        };
        Some(Self {
            root,
            prefix: join_path([prefix.unwrap_or_default()]),
        })
    }

    /// The directory in the bucket, without outer slashes; empty: the whole bucket.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The path of `other` below this place, when it lies strictly inside.
    pub fn contains(&self, other: &Self) -> Option<String> {
        if self.root != other.root || self.prefix == other.prefix {
            return None;
        }
        if self.prefix.is_empty() {
            return Some(other.prefix.clone());
        }
        other
            .prefix
            .strip_prefix(&self.prefix)?
            .strip_prefix('/')
            .map(ToOwned::to_owned)
    }
}

/// The host of an S3 endpoint; Amazon's own names are one place, told apart by bucket and region.
fn host(endpoint: Option<&str>) -> String {
    let endpoint = endpoint.unwrap_or_default().trim().to_lowercase();
    let host = endpoint
        .split_once("://")
        .map_or(endpoint.as_str(), |(_, host)| host)
        .trim_end_matches('/');
    let amazon = host.is_empty() || host == "amazonaws.com" || host.ends_with(".amazonaws.com");
    if amazon {
        "s3.amazonaws.com".to_owned()
    } else {
        host.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s3(endpoint: &str, prefix: &str) -> Place {
        let backend = serde_json::json!({"provider": "s3", "s3": {"endpoint": endpoint, "bucket": "b", "prefix": prefix}});
        Place::of(&serde_json::from_value(backend).unwrap()).unwrap()
    }

    #[test]
    fn directories_mean_the_same_to_everybody() {
        for odd in ["a%20b", "a?b", "a#b", "a\\b", "a\nb", "../x", "a/../b"] {
            assert!(directory_refusal(odd).is_some(), "{odd:?}");
        }
        for fine in ["/demo/web", "my app/é+x", "a..b", "", "with_under-score.v1"] {
            assert_eq!(directory_refusal(fine), None, "{fine:?}");
        }
    }

    #[test]
    fn endpoints_tell_servers_apart_but_not_spellings() {
        assert_ne!(s3("http://minio.a:9000", "p"), s3("http://minio.b:9000", "p"));
        assert_eq!(s3("http://Minio.a:9000/", "p/"), s3("minio.a:9000", "/p"));
        assert_eq!(s3("", "p"), s3("https://s3.eu-west-1.amazonaws.com", "p"));
    }

    #[test]
    fn nesting_goes_by_whole_directories() {
        assert_eq!(s3("m", "a").contains(&s3("m", "a/b/c")).as_deref(), Some("b/c"));
        assert_eq!(s3("m", "").contains(&s3("m", "a")).as_deref(), Some("a"));
        assert_eq!(s3("m", "a").contains(&s3("m", "ab")), None);
        assert_eq!(s3("m", "a").contains(&s3("m", "a")), None);
        assert_eq!(s3("m", "a").contains(&s3("n", "a/b")), None);
    }
}
