//! Files streamed out of a repository that restic wrote, without restic.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use kubestash::api::config::job_plan::PlanStorage;
use kubestash::backend::{SecretText, Storage};
use kubestash::reader::Source;
use kubestash::reader::content::Content;
use kubestash::reader::entry::Entry;
use kubestash::reader::op::Bytes;

use super::{fixture, tree};

struct Repository {
    dir: tempfile::TempDir,
    restic: PathBuf,
}

impl Repository {
    fn restic(&self, args: &[&str]) -> String {
        let repository = self.dir.path().join("storage/repo");
        let run = Command::new(&self.restic)
            .args(["--no-cache", "--repo"])
            .arg(repository)
            .args(args)
            .env("RESTIC_PASSWORD", fixture::PASSWORD)
            .output()
            .unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        String::from_utf8(run.stdout).unwrap()
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn source(&self, password: &str) -> Source {
        Source {
            storage: Storage {
                label: "BackupStorage demo/test".into(),
                spec: PlanStorage {
                    provider: "local".into(),
                    ..PlanStorage::default()
                },
                local_root: Some(self.dir.path().join("storage")),
                credentials: None,
            },
            path: "repo".into(),
            password: SecretText::new(password),
            redactor: kubestash::restic::Redactor::default(),
            cluster: String::new(),
            scratch: self.dir.path().join("scratch"),
            lock: false,
            remembers: true,
        }
    }

    /// A pack of files' content; not one of trees.
    fn largest_pack(&self) -> PathBuf {
        let mut packs = Vec::new();
        for dir in fs::read_dir(self.dir.path().join("storage/repo/data")).unwrap() {
            for pack in fs::read_dir(dir.unwrap().path()).unwrap() {
                let pack = pack.unwrap();
                packs.push((pack.metadata().unwrap().len(), pack.path()));
            }
        }
        packs.sort();
        packs.pop().unwrap().1
    }
}

/// Depth first, as listings are.
fn entries(at: &Path, all: &mut Vec<Entry>) {
    let mut inside: Vec<_> = fs::read_dir(at).unwrap().map(|e| e.unwrap()).collect();
    inside.sort_by_key(fs::DirEntry::file_name);
    for entry in inside {
        let found = entry.metadata().unwrap();
        let kind = if found.is_dir() {
            "dir"
        } else if found.is_symlink() {
            "symlink"
        } else {
            "file"
        };
        all.push(Entry {
            path_bytes: Some(Bytes(entry.path().as_os_str().as_bytes().to_vec())),
            kind: kind.into(),
            size: if found.is_file() { found.len() } else { 0 },
            ..Entry::default()
        });
        if found.is_dir() {
            entries(&entry.path(), all);
        }
    }
}

/// Whether all files came that hold anything; what came is what it should be.
async fn came(mut content: Content, entries: &[Entry], from: usize) -> bool {
    let mut whole = true;
    for (at, entry) in entries.iter().enumerate().filter(|(_, e)| e.size > 0) {
        assert!(content.comes(at), "{entry:?}");
        let expected = fs::read(Bytes(entry.bytes().to_vec()).to_os()).unwrap();
        let expected = expected.get(from..).unwrap_or_default();
        let mut bytes = Vec::new();
        let end = loop {
            match content.next(at).await {
                Ok(Some(more)) => bytes.extend_from_slice(&more),
                end => break end,
            }
        };
        assert!(expected.starts_with(&bytes), "{entry:?}");
        whole &= end.is_ok();
        assert!(end.is_err() || bytes.len() == expected.len(), "{entry:?}");
    }
    whole
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_restic_wrote_is_read_byte_for_byte_and_damage_never_passes() {
    let Some(restic) = fixture::restic() else { return };
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("storage")).unwrap();
    fs::create_dir_all(dir.path().join("scratch")).unwrap();
    let repository = Repository { dir, restic };
    tree::make(&repository.data());
    repository.restic(&["init"]);
    repository.restic(&["backup", &repository.data().to_string_lossy()]);
    let listed = repository.restic(&["snapshots", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let id = listed[0]["id"].as_str().unwrap();
    let mut all = Vec::new();
    entries(&repository.data(), &mut all);

    let source = repository.source(fixture::PASSWORD);
    let opened = source.open("").await.expect("restic is there");
    let content = Content::begin(&opened, &source, id, &all, |_| Some(0))
        .await
        .unwrap();
    let links: Vec<_> = all
        .iter()
        .enumerate()
        .filter(|(_, entry)| entry.kind == "symlink")
        .collect();
    assert_eq!(links.len(), 2);
    for (at, entry) in links {
        let target = fs::read_link(Bytes(entry.bytes().to_vec()).to_os()).unwrap();
        assert_eq!(content.link(at), Some(target.as_os_str().as_bytes()));
    }
    assert!(came(content, &all, 0).await);

    let large: Vec<Entry> = all.iter().filter(|e| e.size > 5_000_000).cloned().collect();
    assert!(!large.is_empty());
    let rest = Content::begin(&opened, &source, id, &large, |_| Some(4_999_999)).await;
    assert!(came(rest.unwrap(), &large, 4_999_999).await, "the rest of a file");

    let other = repository.source("something else");
    let refused = Content::begin(&opened, &other, id, &all, |_| Some(0)).await;
    let why = refused.err().expect("a wrong password opens nothing");
    assert!(!why.contains("something else"), "{why}");

    let pack = repository.largest_pack();
    let mut bytes = fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::set_permissions(&pack, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    fs::write(&pack, bytes).unwrap();
    let damaged = Content::begin(&opened, &source, id, &all, |_| Some(0))
        .await
        .unwrap();
    assert!(!came(damaged, &all, 0).await, "one bit differs");
}
