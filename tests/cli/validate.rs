//! `validate`.

use super::world::{shown, world};

const STORAGE: &str = "\
apiVersion: storage.kubestash.com/v1alpha1
kind: BackupStorage
metadata:
  name: s3
spec:
  storage:
    provider: s3
    s3: {endpoint: 'http://x', bucket: b, secretName: s}
";

#[test]
fn mistakes_have_file_line_and_column() {
    let world = world();
    world.file("check/a.yaml", STORAGE);
    world.file(
        "check/b.yaml",
        "\
apiVersion: storage.kubestash.com/v1alpha1
kind: RetentionPolicy
metadata:
  name: keep
spec:
  maxRetentionPeriod: 3 fortnights
---
apiVersion: core.kubestash.com/v1alpha1
kind: BackupConfiguration
metadata:
  name: sample
spec:
  sesions: []
",
    );
    world.file("check/c.yaml", "a: [1\n");
    let json = world.run(&["validate", "-f", "check", "--offline", "-o", "json"]);
    let validation = world.valid("validate", &json.out).remove(0);
    assert_eq!((json.code, &validation["valid"]), (3, &serde_json::json!(false)));
    assert_eq!(validation["problems"][0]["severity"], "error");
    let run = world.run(&["validate", "-f", "check", "--offline"]);
    assert_eq!(run.code, 3, "{}", run.all());
    assert!(
        run.out
            .contains("check/b.yaml:6:3: error: RetentionPolicy keep spec.maxRetentionPeriod: "),
        "{}",
        run.out
    );
    assert!(run.out.contains("check/b.yaml:13:3: error: BackupConfiguration sample spec.sesions: unknown field sesions; did you mean sessions?"), "{}", run.out);
    assert!(run.out.contains("check/c.yaml:"), "{}", run.out);
    assert!(!run.out.contains("a.yaml"), "{}", run.out);
    shown!(world.run(&["validate", "-f", "check/a.yaml", "--offline"]), @r"
    exit 0
    err| 1 object checked, no mistakes.
    ");
    let json = world.run(&[
        "validate",
        "-f",
        "check",
        "--offline",
        "-o",
        "jsonpath={.valid} {.problems[0].file}",
    ]);
    assert_eq!(json.out, "false check/b.yaml");
}

#[test]
fn the_cluster_is_compared_with_unless_offline() {
    let world = world();
    world.namespace("held");
    let taken = STORAGE
        .replace("  name: s3", "  name: taken\n  namespace: held")
        .replace("bucket: b", "bucket: unique-bucket");
    let object = kubestash::yaml::from_str(&taken).unwrap();
    world.create(&object);
    let clash = taken.replace("name: taken", "name: clash");
    let run = world.run_with(&["validate", "-f", "-"], &clash);
    assert_eq!(run.code, 3, "{}", run.all());
    assert!(
        run.out.starts_with("-:") && run.out.contains("BackupStorage clash"),
        "{}",
        run.out
    );
    assert_eq!(
        world.run_with(&["validate", "-f", "-", "--offline"], &clash).code,
        0
    );
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let world = world();
    shown!(world.run(&["validate", "-f", "nowhere.yaml", "--offline"]), @r"
    exit 1
    err| error: nowhere.yaml cannot be read.
    err|   cause: No such file or directory (os error 2)
    ");
    shown!(world.run(&["validate"]), @r"
    exit 2
    err| error: the following required arguments were not provided:
    err|   --filename <FILE|DIR|->
    err|
    err| Usage: kubectl kubestash validate --filename <FILE|DIR|->
    err|
    err| For more information, try '--help'.
    ");
}
