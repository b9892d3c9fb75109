//! What restic wrote is listed, searched and streamed without restic, and compared with what restic says.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::process::Command;

use kubestash::api::config::job_plan::PlanStorage;
use kubestash::backend::{SecretText, Storage};
use kubestash::reader::Source;
use kubestash::reader::content::Content;
use kubestash::reader::entry::Entry;
use kubestash::reader::listing::{self, Listing};
use kubestash::reader::op::{Bytes, Op, Request};
use kubestash::reader::source::Opened;

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
            remembers: false,
            natively: true,
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

fn root() -> Bytes {
    Bytes(b"/".to_vec())
}

async fn listed(opened: &Opened, source: &Source, id: &str, path: &Bytes) -> Listing {
    listing::entries(opened, source, id, path, false).await.unwrap()
}

/// The content of what is listed after its first `from` bytes.
async fn content(opened: &Opened, source: &Source, listing: &Listing, from: u64) -> Content {
    let native = opened.native(source).await.expect("it can be read here");
    let insides = listing.insides.clone().expect("it was listed here");
    Content::begin(native, &listing.entries, insides, |_| Some(from))
}

/// The answer to a search.
async fn hits(
    source: &Source,
    patterns: &[&str],
    ignore_case: bool,
    contents: bool,
) -> Vec<serde_json::Value> {
    let request = Request {
        component_path: String::new(),
        op: Op::Find {
            ids: Vec::new(),
            patterns: patterns.iter().map(|p| Bytes(p.as_bytes().to_vec())).collect(),
            ignore_case,
            contents,
        },
    };
    let (say, _heard) = tokio::sync::mpsc::unbounded_channel();
    let mut text = Vec::new();
    kubestash::reader::perform(&request, source, &mut text, &say)
        .await
        .unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// The same by snapshot and path.
async fn found(source: &Source, patterns: &[&str], ignore_case: bool) -> Vec<(String, String, u64)> {
    let mut all = Vec::new();
    for one in hits(source, patterns, ignore_case, false).await {
        assert_eq!(one["hits"], one["matches"].as_array().unwrap().len());
        for hit in one["matches"].as_array().unwrap() {
            assert!(hit.get("content").is_none(), "nobody asked for it: {hit}");
            let text = |field: &serde_json::Value| field.as_str().unwrap().to_owned();
            all.push((
                text(&one["snapshot"]),
                text(&hit["path"]),
                hit["size"].as_u64().unwrap_or(0),
            ));
        }
    }
    all.sort();
    all
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
    let snapshots = repository.restic(&["snapshots", "--json"]);
    let snapshots: serde_json::Value = serde_json::from_str(&snapshots).unwrap();
    let id = snapshots[0]["id"].as_str().unwrap();

    let source = repository.source(fixture::PASSWORD);
    let restics = Source {
        natively: false,
        ..source.clone()
    };
    let opened = source.open("").await.expect("restic is there");
    let other = restics.open("").await.unwrap();
    let mut all = Listing::default();
    let data = Bytes(repository.data().as_os_str().as_bytes().to_vec());
    for path in [&data, &root()] {
        all = listed(&opened, &source, id, path).await;
        let theirs = listed(&other, &restics, id, path).await;
        assert_eq!(all.entries, theirs.entries);
        assert_eq!((all.insides.is_some(), theirs.insides.is_none()), (true, true));
        assert_eq!(all.first.is_empty(), theirs.first.is_empty());
    }
    let missing = Bytes(b"/not/there".to_vec());
    let (here, theirs) = tokio::join!(
        listing::entries(&opened, &source, id, &missing, false),
        listing::entries(&other, &restics, id, &missing, true)
    );
    assert_eq!(here.unwrap_err().cause, theirs.unwrap_err().cause);

    let insides = all.insides.as_ref().unwrap();
    let mut links = 0;
    for (entry, inside) in all
        .entries
        .iter()
        .zip(insides)
        .filter(|(e, _)| e.kind == "symlink")
    {
        let target = fs::read_link(Bytes(entry.bytes().to_vec()).to_os()).unwrap();
        assert_eq!(inside.link, target.as_os_str().as_bytes());
        links += 1;
    }
    assert_eq!(links, 2);
    assert!(came(content(&opened, &source, &all, 0).await, &all.entries, 0).await);

    let mut large = Listing::default();
    let mut behind = Vec::new();
    for (entry, inside) in all
        .entries
        .iter()
        .zip(insides)
        .filter(|(e, _)| e.size > 5_000_000)
    {
        large.entries.push(entry.clone());
        behind.push(inside.clone());
    }
    large.insides = Some(behind);
    assert!(!large.entries.is_empty());
    let rest = content(&opened, &source, &large, 4_999_999).await;
    assert!(came(rest, &large.entries, 4_999_999).await, "the rest of a file");

    for (patterns, ignore_case) in [
        (&["*"][..], false),
        (&["[a-m]*", "*.TXT"], false),
        (&["[^a-m]?[^e]*"], false),
        (&["*.TXT", "DATA"], true),
        (&["/*/**/*e*"], false),
        (&["data/*"], false),
        (&["nowhere at all"], false),
    ] {
        let here = found(&source, patterns, ignore_case).await;
        let theirs = found(&restics, patterns, ignore_case).await;
        assert_eq!(here, theirs, "{patterns:?}");
        assert_eq!(
            here.is_empty(),
            patterns[0].starts_with("nowhere"),
            "{patterns:?}"
        );
    }

    let other = repository.source("something else");
    let another = other.open("").await.unwrap();
    assert!(
        another.native(&other).await.is_none(),
        "a wrong password opens nothing"
    );
    let why = listing::entries(&another, &other, id, &data, false)
        .await
        .unwrap_err();
    assert!(!why.message.contains("something else"), "{why}");

    let pack = repository.largest_pack();
    let mut bytes = fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::set_permissions(&pack, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    fs::write(&pack, bytes).unwrap();
    let opened = source.open("").await.unwrap();
    let damaged = content(&opened, &source, &all, 0).await;
    assert!(!came(damaged, &all.entries, 0).await, "one bit differs");
}

/// A repository without a snapshot, and a directory for data.
fn empty(restic: PathBuf) -> Repository {
    let dir = tempfile::tempdir().unwrap();
    for made in ["storage", "scratch", "data"] {
        fs::create_dir_all(dir.path().join(made)).unwrap();
    }
    let repository = Repository { dir, restic };
    repository.restic(&["init"]);
    repository
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_identifies_a_content_is_equal_where_the_content_is() {
    let Some(restic) = fixture::restic() else { return };
    let repository = empty(restic);
    let data = repository.data();
    let then = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let write = |name: &str, text: &str, at: std::time::SystemTime| {
        let path = data.join(name);
        fs::write(&path, text).unwrap();
        fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(at)
            .unwrap();
    };
    for (name, text) in [
        ("sly", "one"),
        ("touched", "same"),
        ("copy", "same"),
        ("nothing", ""),
    ] {
        write(name, text, then);
    }
    std::os::unix::fs::symlink("sly", data.join("link")).unwrap();
    let backup = || repository.restic(&["backup", "--force", &data.to_string_lossy()]);
    backup();
    // As large as before, with the old time; and the other way round.
    write("sly", "two", then);
    write("touched", "same", then + std::time::Duration::from_secs(60));
    fs::remove_file(data.join("link")).unwrap();
    std::os::unix::fs::symlink("copy", data.join("link")).unwrap();
    backup();

    let source = repository.source(fixture::PASSWORD);
    let names = ["sly", "touched", "copy", "nothing", "link", "data"];
    let mut told: std::collections::BTreeMap<String, Vec<Option<String>>> = std::collections::BTreeMap::new();
    for one in hits(&source, &names, false, true).await {
        for hit in one["matches"].as_array().unwrap() {
            let name = hit["path"].as_str().unwrap().rsplit('/').next().unwrap();
            let content = hit["content"].as_str().map(str::to_owned);
            told.entry(name.to_owned()).or_default().push(content);
        }
    }
    let both = |name: &str| match told[name].as_slice() {
        [Some(a), Some(b)] => (a.clone(), b.clone()),
        other => panic!("{name}: {other:?}"),
    };
    for (name, same) in [
        ("sly", false),
        ("touched", true),
        ("nothing", true),
        ("link", false),
    ] {
        let (a, b) = both(name);
        assert_eq!(a == b, same, "{name}");
    }
    assert_eq!(both("touched"), both("copy"));
    assert_ne!(both("nothing").0, both("copy").0);
    assert_eq!(
        told["data"],
        [None, None],
        "a directory has no content of its own"
    );

    // restic does not say it, and the answer is there all the same.
    let restics = Source {
        natively: false,
        ..source
    };
    let theirs = hits(&restics, &["sly"], false, true).await;
    assert_eq!(theirs.len(), 2);
    assert!(
        theirs
            .iter()
            .all(|one| one["matches"][0].get("content").is_none())
    );
}
