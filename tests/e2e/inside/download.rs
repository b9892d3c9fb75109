//! What is downloaded is what was backed up, whole and in parts, as files and as an archive.

use std::path::Path;
use std::process::{Command, Stdio};

use super::super::stage::stage;
use super::{Looker, TOP, portrait, portrait_in, twice};

#[test]
fn a_downloaded_snapshot_is_what_was_backed_up() {
    let Some(stage) = stage() else { return };
    let (scene, old, new) = twice(stage, "fetch");
    let there = portrait_in(&scene, "data-pod", "/data");
    for local in [false, true] {
        let look = Looker::new(&scene, local);
        let all = look.to("all");
        let said = look.text(&["download", &new, "--to", &all]);
        assert!(said.contains("complete, sizes and hashes compared"), "{said}");
        assert_eq!(portrait(&format!("{all}/{TOP}")), there);
        let links = |name: &str| {
            use std::os::unix::fs::MetadataExt;
            let found = std::fs::metadata(format!("{all}/{TOP}/{name}")).unwrap();
            (found.ino(), found.blocks() * 512, found.len())
        };
        assert_eq!(links("plain").0, links("hard").0, "hard links stay tied");
        let (_, used, size) = links("sparse");
        assert!(
            size == 8_388_611 && used < size / 2,
            "{used} of {size}: holes stay holes"
        );
        assert!(!Path::new(&all).join(".kubestash-download").exists());
        // Once more: there is nothing to do, and nothing is in the way.
        let again = look.json(&["download", &new, "--to", &all]);
        assert_eq!(again["skipped"], serde_json::json!([]), "{again}");
        assert_eq!(portrait(&format!("{all}/{TOP}")), there);
        // Another version of a file is in the way, and is not touched.
        let refused = look.asked(&["download", &old, "deep/er/app.yaml", "--to", &all]);
        assert_eq!(refused.code, 7, "{}", refused.err);
        assert_eq!(portrait(&format!("{all}/{TOP}")), there);
        look.text(&["download", &old, "deep/er/app.yaml", "--to", &all, "--overwrite"]);
        let app = std::fs::read_to_string(format!("{all}/{TOP}/deep/er/app.yaml")).unwrap();
        assert_eq!(app, "v1\n");
        parts(&look, &new);
        archives(&look, &new, &there);
        outside(&look, &new);
    }
}

/// Names below a directory, sorted.
fn names(dir: &str) -> Vec<String> {
    let output = Command::new("find")
        .args([".", "!", "-type", "d"])
        .current_dir(dir)
        .output()
        .unwrap();
    let mut all: Vec<String> = output
        .stdout
        .escape_ascii()
        .to_string()
        .split("\\n")
        .map(str::to_owned)
        .collect();
    all.retain(|name| !name.is_empty());
    all.sort();
    all
}

/// Paths and patterns.
fn parts(look: &Looker<'_>, new: &str) {
    let some = look.to("some");
    look.text(&[
        "download",
        new,
        "deep/er",
        "binary",
        "with space/new\nline",
        "--to",
        &some,
    ]);
    assert_eq!(
        std::fs::read(format!("{some}/{TOP}/with space/new\nline")).unwrap(),
        b"odd\n"
    );
    let mut found = names(&some);
    found.retain(|n| !n.contains("with space") && n != "line");
    assert_eq!(
        found,
        ["added", "app.yaml", "same.yaml"]
            .map(|n| format!("./{TOP}/deep/er/{n}"))
            .into_iter()
            .chain([format!("./{TOP}/binary")])
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
    );
    let matching = look.to("matching");
    look.text(&[
        "download",
        new,
        "--to",
        &matching,
        "--include",
        "*.yaml",
        "--include",
        "many",
        "--exclude",
        "f?*",
        "--exclude",
        "same.*",
    ]);
    assert_eq!(names(&matching), [format!("./{TOP}/deep/er/app.yaml")]);
    let nothing = look.asked(&["download", new, "plain", "no/such", "--to", &look.to("nothing")]);
    assert_eq!(nothing.code, 6, "{}", nothing.err);
    assert!(
        !Path::new(&look.to("nothing")).exists(),
        "a missing path is told before anything is written"
    );
}

/// `-o tar` through tar itself.
fn archives(look: &Looker<'_>, new: &str, there: &str) {
    let unpacked = |name: &str, args: &[&str]| -> String {
        let mut all = vec!["download", new];
        all.extend(args);
        all.extend(["-o", "tar"]);
        let archive = look.asked(&all).ok();
        let to = look.to(name);
        std::fs::create_dir(&to).unwrap();
        let mut tar = Command::new("tar")
            .args(["xpf", "-", "-C", &to])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut tar.stdin.take().unwrap(), &archive).unwrap();
        assert!(tar.wait().unwrap().success());
        to
    };
    let whole = unpacked("tar-whole", &[]);
    assert_eq!(portrait(&format!("{whole}/{TOP}")), there);
    let several = unpacked("tar-several", &["deep/er", "binary", "empty"]);
    assert_eq!(
        names(&several),
        ["binary", "deep/er/added", "deep/er/app.yaml", "deep/er/same.yaml"].map(|n| format!("./{TOP}/{n}"))
    );
    assert!(Path::new(&format!("{several}/{TOP}/empty")).is_dir());
    let chosen = unpacked("tar-chosen", &["--include", "*.yaml", "--exclude", "same.*"]);
    assert_eq!(names(&chosen), [format!("./{TOP}/deep/er/app.yaml")]);
    let both = look.asked(&["download", new, "-o", "tar", "--to", "x"]);
    assert_eq!(both.code, 2, "{}", both.err);
}

/// Nothing is written outside the directory, whatever lies in the way.
fn outside(look: &Looker<'_>, new: &str) {
    let (to, victim) = (look.to("trap"), look.to("victim"));
    std::fs::create_dir_all(&to).unwrap();
    std::fs::create_dir_all(&victim).unwrap();
    std::os::unix::fs::symlink(&victim, format!("{to}/{TOP}")).unwrap();
    let refused = look.asked(&["download", new, "deep", "--to", &to]);
    assert_eq!(refused.code, 7, "{}", refused.err);
    assert!(
        refused.err.contains("a link that may lead out"),
        "{}",
        refused.err
    );
    assert_eq!(std::fs::read_dir(&victim).unwrap().count(), 0);
}
