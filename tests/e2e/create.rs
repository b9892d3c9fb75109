//! From nothing to a restored file by the plugin's own commands: `create storage`, `create retention`, `create backup`,
//! `create restore`, as a script would call them.

use std::io::Write;

use super::stage::{BUCKET, stage};

#[test]
fn from_nothing_to_a_restored_file_by_flags_alone() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("create");
    let namespace = scene.namespace.as_str();
    let mut keys = tempfile::NamedTempFile::new().unwrap();
    writeln!(
        keys,
        "AWS_ACCESS_KEY_ID={}\nAWS_SECRET_ACCESS_KEY={}",
        stage.s3.key, stage.s3.secret
    )
    .unwrap();
    let keys = keys.path().to_str().unwrap();
    let create = |words: &[&str]| stage.cli(&[&["create"], words, &["-n", namespace]].concat());
    let storage = |endpoint: &str, bucket: &str| {
        create(&[
            "storage",
            "s3",
            "--endpoint",
            endpoint,
            "--bucket",
            bucket,
            "--prefix",
            namespace,
            "--region",
            "us-east-1",
            "--from-file",
            keys,
            "--wait",
        ])
    };

    // What cannot work is told by its class before anything is written, and the proof leaves nothing behind.
    for (endpoint, bucket, cause) in [
        (
            stage.s3.endpoint.as_str(),
            "no-such-bucket-of-ours",
            "BucketMissing",
        ),
        ("http://127.0.0.1:1", BUCKET, "Unreachable"),
    ] {
        let said = storage(endpoint, bucket);
        assert_eq!(said.code, 7, "{}", said.err);
        assert!(
            said.err.contains("nothing was written to the cluster") && said.err.contains(cause),
            "{}",
            said.err
        );
        assert!(!said.err.contains(&stage.s3.secret), "{}", said.err);
    }
    let left = stage
        .kubectl(&[
            "get",
            "-n",
            namespace,
            "jobs,secrets,backupstorages",
            "-o",
            "name",
        ])
        .ok();
    assert_eq!(left.lines().filter(|l| !l.contains("token")).count(), 0, "{left}");

    let said = storage(&stage.s3.endpoint, BUCKET);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(
        said.err.contains("✓ list  ✓ write  ✓ read  ✓ delete"),
        "{}",
        said.err
    );
    create(&["retention", "keep", "--keep-last", "2"]).ok();

    scene.volume("data");
    scene.fill("data-pod", "/data");
    let before = scene.fingerprint("data-pod", "/data");
    let said = create(&[
        "backup",
        "docs",
        "--target",
        "pvc/data",
        "--schedule",
        "7 3 * * *",
        "--wait",
    ]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(
        said.err.contains("Whoever loses it loses the data"),
        "{}",
        said.err
    );
    scene.first_backup("docs");

    stage.sh(namespace, "data-pod", "rm -rf /data/*");
    let said = create(&["restore", "--repo", "docs", "--wait"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(scene.fingerprint("data-pod", "/data"), before);
}
