//! Listing, finding, printing and comparing, by a reader in the cluster and by a restic of this machine.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::super::stage::{Scene, eventually, stage};
use super::{Looker, readers, twice};

#[test]
fn every_question_about_two_snapshots_is_answered() {
    let Some(stage) = stage() else { return };
    let (scene, old, new) = twice(stage, "look");
    for local in [false, true] {
        let look = Looker::new(&scene, local);
        lists(&look, &new);
        finds(&look, &old, &new);
        prints(&look, &new);
        differs(&look, &old, &new);
    }
    one_restricted_reader(&scene);
}

/// `ls` and `tree` against what is in the pod.
fn lists(look: &Looker<'_>, new: &str) {
    let top = look.text(&["ls", new]);
    for line in [
        "/kubestash-data/plain",
        "/kubestash-data/deep/",
        "/kubestash-data/bad\\xff\\xfename",
    ] {
        assert!(top.lines().any(|l| l == line), "{line} is not in:\n{top}");
    }
    assert!(!top.contains("app.yaml"), "only the top: {top}");
    let all = look.text(&["ls", "bc/look", "-R", "--long"]);
    let line = |end: &str| {
        let found = all.lines().find(|l| l.ends_with(end));
        found.unwrap_or_else(|| panic!("{end} is not in:\n{all}"))
    };
    assert!(
        line("/plain").contains("2001-02-03T04:05:06Z"),
        "{}",
        line("/plain")
    );
    assert!(line("/f1").contains(" 1234  4321 "), "{}", line("/f1"));
    assert!(line("/setuid").starts_with("-rwsr-xr-x"), "{}", line("/setuid"));
    line("/with space/new\\nline");
    line("/dir\\xe9/in\\x80");

    let entries = look.json(&["ls", new, "-R"]);
    let entries = entries["entries"].as_array().unwrap();
    let inside = look.scene.stage.sh(
        &look.scene.namespace,
        "data-pod",
        "cd /data; find . -path ./lost+found -prune -o -print0 | tr -dc '\\0' | wc -c",
    );
    // The volume itself is not an entry of itself.
    let inside = inside.trim().parse::<usize>().unwrap() - 1;
    let listed = entries
        .iter()
        .filter(|e| !e["path"].as_str().unwrap().contains("lost+found"));
    assert_eq!(listed.count(), inside);
    let one = |path: &str| entries.iter().find(|e| e["path"] == path).unwrap();
    assert_eq!(one("/kubestash-data/setuid")["mode"], "4755");
    assert_eq!(one("/kubestash-data/outside")["type"], "symlink");
    assert_eq!(one("/kubestash-data/with space/new\nline")["size"], 4);
    let bad = one("/kubestash-data/bad\u{fffd}\u{fffd}name");
    assert!(bad["pathBase64"].is_string(), "{bad}");

    let tree = look.text(&["tree", new, "deep"]);
    assert!(
        tree.contains("│   ├── app.yaml\n") && tree.contains("still/\n"),
        "{tree}"
    );
    let shallow = look.text(&["tree", new, "deep", "--depth", "1"]);
    assert!(!shallow.contains("app.yaml"), "{shallow}");
    let nothing = look.asked(&["ls", new, "no/such/path"]);
    assert_eq!(nothing.code, 6, "{}", nothing.err);
}

/// `find` and `history`.
fn finds(look: &Looker<'_>, old: &str, new: &str) {
    let found = look.json(&["find", "app.yaml", "--repo", "look-repo"]);
    let of: Vec<&str> = found["matches"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["snapshot"].as_str().unwrap())
        .collect();
    assert_eq!(of, [old, new]);
    let table = look.text(&[
        "find", "-i", "APP.YAML", "gone", "--in", "bc/look", "--since", "1d",
    ]);
    assert_eq!(table.lines().count(), 4, "a heading, two and one: {table}");
    let none = look.asked(&["find", "app.yaml", "--since", "1s"]);
    assert_eq!(none.code, 6, "{}", none.err);
    let odd = look.text(&["find", "new*line"]);
    assert!(odd.contains("new\\nline"), "{odd}");
    let bytes = look.raw(&[b"find", b"bad\xff\xfename"]).ok();
    assert_eq!(String::from_utf8(bytes).unwrap().lines().count(), 3);

    let told = |path: &str| -> Vec<String> {
        let versions = look.json(&["history", path, "--in", "bc/look", "--all"]);
        let versions = versions["versions"].as_array().unwrap();
        versions
            .iter()
            .map(|v| v["change"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(told("deep/er/app.yaml"), ["new", "changed"]);
    assert_eq!(told("/kubestash-data/gone"), ["new", "gone"]);
    assert_eq!(told("plain"), ["new", "same"]);
    // Its mode is another one; that of the other was, between the two.
    assert_eq!(told("many/f4"), ["new", "touched"]);
    assert_eq!(told("many/f3"), ["new", "same"]);
    let beside = look.asked(&["history", "/data/plain", "--in", "bc/look"]);
    assert_eq!(beside.code, 6, "{}", beside.err);
    assert!(
        beside.err.contains("they hold: /kubestash-data (dump)"),
        "{}",
        beside.err
    );
    assert_eq!(told("with space/b\\ck[1]?"), ["new", "same"]);
    assert_eq!(look.asked(&["history", "never", "--repo", "look-repo"]).code, 6);
}

/// `cat`, byte for byte.
fn prints(look: &Looker<'_>, new: &str) {
    assert_eq!(look.asked(&["cat", new, "binary"]).ok(), b"x\0y\xff\r\n");
    assert_eq!(
        look.asked(&["cat", "bc/look", "/kubestash-data/nothing"]).ok(),
        b""
    );
    assert_eq!(
        look.raw(&[b"cat", new.as_bytes(), b"bad\xff\xfename"]).ok(),
        b"bad\n"
    );
    assert_eq!(
        look.raw(&[b"cat", new.as_bytes(), b"dir\xe9/in\x80"]).ok(),
        b"in\n"
    );
    assert_eq!(look.asked(&["cat", new, "with space/new\nline"]).ok(), b"odd\n");
    let big = look.asked(&["cat", new, "big"]).ok();
    let theirs = Command::new("kubectl")
        .env("KUBECONFIG", &look.scene.stage.kubeconfig)
        .args([
            "exec",
            "-n",
            &look.scene.namespace,
            "data-pod",
            "--",
            "cat",
            "/data/big",
        ])
        .output()
        .unwrap();
    assert!(
        big == theirs.stdout,
        "{} bytes are not the {} in the pod",
        big.len(),
        theirs.stdout.len()
    );
    let directory = look.asked(&["cat", new, "deep"]);
    assert_eq!((directory.code, directory.out.len()), (6, 0), "{}", directory.err);
}

/// `diff` of two Snapshots.
fn differs(look: &Looker<'_>, old: &str, new: &str) {
    let changes = |args: &[&str]| -> Vec<(String, String)> {
        let diff = look.json(args);
        let changes = diff["changes"].as_array().unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        changes
            .iter()
            .map(|c| (text(&c["change"]), text(&c["path"])))
            .collect()
    };
    let found = changes(&["diff", old, new]);
    for (change, path) in [
        ("M", "/kubestash-data/deep/er/app.yaml"),
        ("+", "/kubestash-data/deep/er/added"),
        ("-", "/kubestash-data/gone"),
        ("U", "/kubestash-data/many/f4"),
    ] {
        assert!(
            found.iter().any(|(c, p)| c == change && p == path),
            "{change} {path} is not in {found:?}"
        );
    }
    assert!(!found.iter().any(|(_, p)| p.ends_with("/plain")), "{found:?}");
    assert_eq!(changes(&["diff", new, "bc/look"]), []);
}

/// All those questions had one reader, which may do nothing but read.
fn one_restricted_reader(scene: &Scene) {
    let readers = readers(scene);
    assert_eq!(readers.len(), 1, "{readers:#?}");
    let spec = &readers[0]["spec"];
    assert_eq!(spec["automountServiceAccountToken"], false, "{spec:#}");
    let job = readers[0]["metadata"]["labels"]["batch.kubernetes.io/job-name"]
        .as_str()
        .unwrap();
    assert_eq!(spec["serviceAccountName"], job, "a ServiceAccount of its own");
    assert_eq!(spec["securityContext"]["runAsNonRoot"], true, "{spec:#}");
    let security = &spec["containers"][0]["securityContext"];
    assert_eq!(security["readOnlyRootFilesystem"], true, "{security:#}");
    assert_eq!(security["allowPrivilegeEscalation"], false, "{security:#}");
    assert_eq!(security["capabilities"]["drop"][0], "ALL", "{security:#}");
    let pod = readers[0]["metadata"]["name"].as_str().unwrap();
    // Its time is over at once: Kubernetes removes the pod, the Job and all that belongs to it.
    let stage = scene.stage;
    let patch = r#"{"spec":{"activeDeadlineSeconds":1}}"#;
    stage
        .kubectl(&[
            "patch",
            "job",
            job,
            "-n",
            &scene.namespace,
            "--type=merge",
            "-p",
            patch,
        ])
        .ok();
    eventually(
        "the reader and its own to be gone",
        Duration::from_secs(150),
        || {
            let left = [
                ("pod", pod),
                ("job", job),
                ("secret", job),
                ("serviceaccount", job),
            ];
            left.iter()
                .all(|(kind, name)| stage.get(&scene.namespace, kind, name).is_none())
                .then_some(())
        },
    );
}
