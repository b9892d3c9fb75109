//! Writes the files of a volume so that a reader sees either all old or all new ones, laid out as the kubelet does:
//! the files lie in a directory with a time for a name, `..data` links to it, and every visible name links into
//! `..data`.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Component, Path};

use jiff::Timestamp;

/// On a directory: what is made in it belongs to its group.
const SET_GROUP: u32 = 0o2000;

/// One file of a volume.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct VolumeFile {
    /// Relative path.
    pub(crate) path: String,
    /// Content; may be secret.
    pub(crate) content: Vec<u8>,
    /// Permission bits.
    pub(crate) mode: u32,
}

/// Makes the directory hold exactly these files. Nothing is touched where it does already.
pub(crate) fn write(dir: &Path, files: &[VolumeFile]) -> io::Result<()> {
    let data = dir.join("..data");
    let group = fs::metadata(dir).map_or(0, |m| m.mode() & SET_GROUP);
    if holds(&data, files, group) {
        return Ok(());
    }
    if !dir.is_dir() {
        fs::create_dir_all(dir)?;
        fs::set_permissions(dir, Permissions::from_mode(0o755))?;
    }
    let name = format!("..{}", Timestamp::now().as_nanosecond());
    let fresh = dir.join(&name);
    fs::create_dir(&fresh)?;
    for file in files {
        write_one(&fresh, file, group)?;
    }
    // Last: in a directory of the pod's group everything new belongs to that group, until its bit is taken away.
    fs::set_permissions(&fresh, Permissions::from_mode(0o755 | group))?;
    let before = fs::read_link(&data).ok();
    let next = dir.join("..data_tmp");
    let _ = fs::remove_file(&next);
    symlink(&name, &next)?;
    fs::rename(&next, &data)?;
    for top in files
        .iter()
        .filter_map(|f| Path::new(&f.path).components().next())
    {
        let link = dir.join(top);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new("..data").join(top), &link)?;
        }
    }
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_symlink() && path != data && fs::metadata(&path).is_err() {
            fs::remove_file(&path)?;
        }
    }
    match before {
        Some(old) => fs::remove_dir_all(dir.join(old)),
        None => Ok(()),
    }
}

/// The mode of a file on disk. A volume that was given to the pod's group (`fsGroup`) lets the group read.
fn mode(file: &VolumeFile, group: u32) -> u32 {
    (file.mode & 0o777) | if group == 0 { 0 } else { 0o440 }
}

/// Whether the files are there, with content and mode, and no others.
fn holds(data: &Path, files: &[VolumeFile], group: u32) -> bool {
    let same = |file: &VolumeFile| {
        let path = data.join(&file.path);
        fs::metadata(&path).is_ok_and(|m| m.mode() & 0o777 == mode(file, group))
            && fs::read(&path).is_ok_and(|content| content == file.content)
    };
    let wanted: BTreeSet<&str> = files.iter().map(|f| f.path.as_str()).collect();
    count(data).is_some_and(|number| number == wanted.len()) && files.iter().all(same)
}

/// The number of files in a tree; `None` where there is none.
fn count(dir: &Path) -> Option<usize> {
    let mut number = 0;
    for entry in fs::read_dir(dir).ok()? {
        let path = entry.ok()?.path();
        number += if path.is_dir() { count(&path)? } else { 1 };
    }
    Some(number)
}

fn write_one(dir: &Path, file: &VolumeFile, group: u32) -> io::Result<()> {
    let relative = Path::new(&file.path);
    if relative.components().any(|c| !matches!(c, Component::Normal(_))) || file.path.is_empty() {
        return Err(io::Error::other(format!(
            "\"{}\" is not a path inside a volume",
            file.path
        )));
    }
    let path = dir.join(relative);
    let mut parent = dir.to_path_buf();
    for part in relative.parent().into_iter().flat_map(Path::components) {
        parent.push(part);
        if !parent.is_dir() {
            fs::create_dir(&parent)?;
            if group == 0 {
                fs::set_permissions(&parent, Permissions::from_mode(0o755))?;
            }
        }
    }
    fs::write(&path, &file.content)?;
    fs::set_permissions(&path, Permissions::from_mode(mode(file, group)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, content: &str, mode: u32) -> VolumeFile {
        VolumeFile {
            path: path.into(),
            content: content.into(),
            mode,
        }
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn files_are_replaced_together_and_old_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("v");
        write(&root, &[file("a", "1", 0o600), file("sub/b", "2", 0o644)]).unwrap();
        assert_eq!(fs::read_to_string(root.join("sub/b")).unwrap(), "2");
        assert_eq!(
            fs::metadata(root.join("a")).unwrap().permissions().mode() & 0o777,
            0o600
        );
        write(&root, &[file("sub/b", "3", 0o644), file("c", "4", 0o644)]).unwrap();
        assert_eq!(fs::read_to_string(root.join("sub/b")).unwrap(), "3");
        let names = names(&root);
        assert_eq!(names.len(), 4, "{names:?}");
        assert!(
            names[0].starts_with("..1") && names[1..] == ["..data", "c", "sub"],
            "{names:?}"
        );
    }

    #[test]
    fn what_is_right_already_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("v");
        let files = [file("a", "1", 0o600), file("sub/b", "2", 0o644)];
        write(&root, &files).unwrap();
        let place = || fs::read_link(root.join("..data")).unwrap();
        let first = place();
        write(&root, &files).unwrap();
        assert_eq!(place(), first);
        for changed in [
            vec![file("a", "other", 0o600), file("sub/b", "2", 0o644)],
            vec![file("a", "other", 0o640), file("sub/b", "2", 0o644)],
            vec![file("sub/b", "2", 0o644)],
            vec![],
        ] {
            let before = place();
            write(&root, &changed).unwrap();
            assert_ne!(place(), before);
        }
        assert_eq!(names(&root).len(), 2, "{:?}", names(&root));
    }

    #[test]
    fn a_volume_of_a_group_stays_the_groups() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("v");
        write(&root, &[file("a", "1", 0o400)]).unwrap();
        fs::set_permissions(&root, Permissions::from_mode(0o2755)).unwrap();
        write(&root, &[file("a", "2", 0o400)]).unwrap();
        let mode = |path: &str| fs::metadata(root.join(path)).unwrap().mode() & 0o7777;
        assert_eq!(mode("a"), 0o440);
        assert_eq!(mode("..data"), 0o2755);
    }

    #[test]
    fn paths_stay_inside() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["../x", "/x", "a/../../x", ""] {
            assert!(write(dir.path(), &[file(path, "", 0o644)]).is_err(), "{path}");
        }
    }
}
