//! A tree of files with everything that a backup can lose, and its comparison.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

/// Makes the tree.
pub(super) fn make(root: &Path) {
    fs::create_dir_all(root.join("sub/deep")).unwrap();
    fs::create_dir(root.join("empty directory")).unwrap();
    fs::write(root.join("empty"), "").unwrap();
    fs::write(root.join("text"), "hello\n").unwrap();
    let large: Vec<u8> = (0..3_000_000_u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    fs::write(root.join("sub/large"), large).unwrap();
    for name in [
        "-dash",
        "with blank",
        "new\nline",
        "ünïcode",
        "quote'\"",
        "[glob]*?",
        "back\\slash",
        "comma,name",
    ] {
        fs::write(root.join("sub").join(name), name).unwrap();
    }
    fs::write(root.join(OsStr::from_bytes(b"not-utf8-\xff\xfe")), "bytes").unwrap();
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"end", (64 << 20) - 3).unwrap();
    symlink("text", root.join("link")).unwrap();
    symlink("/nowhere", root.join("dangling")).unwrap();
    fs::hard_link(root.join("text"), root.join("sub/hard")).unwrap();
    for (name, mode) in [
        ("text", 0o640),
        ("sub/large", 0o4755),
        ("sub/deep", 0o2750),
        ("empty directory", 0o1777),
    ] {
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    if root_user() {
        std::os::unix::fs::chown(root.join("text"), Some(999), Some(998)).unwrap();
        std::os::unix::fs::chown(root.join("sub"), Some(1234), Some(4321)).unwrap();
        std::os::unix::fs::lchown(root.join("link"), Some(5), Some(6)).unwrap();
        std::os::unix::fs::chown(root, Some(70), Some(70)).unwrap();
    }
    fs::set_permissions(root, fs::Permissions::from_mode(0o700)).unwrap();
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(1_234_567_890_123_456_789);
    fs::File::open(root.join("empty"))
        .unwrap()
        .set_modified(old)
        .unwrap();
    fs::File::open(root.join("sub/deep"))
        .unwrap()
        .set_modified(old)
        .unwrap();
}

pub(super) fn root_user() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Everything that matters of every file, by path.
pub(super) fn describe(root: &Path) -> BTreeMap<Vec<u8>, String> {
    let mut found = BTreeMap::new();
    walk(root, root, &mut found);
    found
}

fn walk(root: &Path, at: &Path, found: &mut BTreeMap<Vec<u8>, String>) {
    let meta = fs::symlink_metadata(at).unwrap();
    let content = if meta.is_symlink() {
        format!("-> {}", fs::read_link(at).unwrap().display())
    } else if meta.is_file() {
        let bytes = fs::read(at).unwrap();
        let sum = bytes.iter().fold(0_u64, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(u64::from(*byte))
        });
        format!(
            "{} bytes {sum:x}, {} links, sparse {}",
            bytes.len(),
            meta.nlink(),
            meta.blocks() * 512 < meta.len() / 2
        )
    } else {
        "directory".into()
    };
    let key = at.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
    found.insert(
        key,
        format!(
            "{:o} {}:{} {}.{:09} {content}",
            meta.mode(),
            meta.uid(),
            meta.gid(),
            meta.mtime(),
            meta.mtime_nsec()
        ),
    );
    if meta.is_dir() {
        for entry in fs::read_dir(at).unwrap() {
            walk(root, &entry.unwrap().path(), found);
        }
    }
}

/// Fails with the first differences.
pub(super) fn assert_same(wanted: &BTreeMap<Vec<u8>, String>, found: &BTreeMap<Vec<u8>, String>) {
    let mut wrong = Vec::new();
    for key in wanted.keys().chain(found.keys()) {
        let (a, b) = (wanted.get(key), found.get(key));
        if a != b {
            wrong.push(format!("{}: {a:?} became {b:?}", String::from_utf8_lossy(key)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
