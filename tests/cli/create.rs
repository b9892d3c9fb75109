//! `create storage|retention|backup|restore` in scripts.

use serde_json::{Value, json};

use super::restore::catalog;
use super::shapes::valid;
use super::world::{World, configuration, shown, snapshot, world};

/// A namespace with a claim, a StatefulSet, a storage and a policy.
pub(super) fn prepared(namespace: &str) -> &'static World {
    let world = world();
    catalog(world);
    world.namespace(namespace);
    world.create(&json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}));
    world.create(&json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db", "namespace": namespace},
        "spec": {"serviceName": "db", "replicas": 1, "selector": {"matchLabels": {"app": "db"}},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}}],
            "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [
                {"name": "db", "image": "db", "volumeMounts": [{"name": "data", "mountPath": "/var/lib/db"}]}]}}}}));
    world.create(&json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage", "metadata": {"name": "s3", "namespace": namespace},
        "spec": {"storage": {"provider": "s3", "s3": {"bucket": namespace, "endpoint": "http://minio:9000", "secretName": "keys"}}},
        "status": {"phase": "Ready"}}));
    world.create(&json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "RetentionPolicy", "metadata": {"name": "keep-week", "namespace": namespace},
        "spec": {"successfulSnapshots": {"daily": 7}}}));
    world
}

#[test]
fn without_a_terminal_one_error_names_all_missing_flags() {
    let world = world();
    catalog(world);
    world.namespace("create-missing");
    let with = |words: &[&str]| world.run(&[words, &["-n", "create-missing"]].concat());
    shown!(with(&["create", "backup"]), @r"
        exit 2
        err| error: there is no terminal to ask on, and 4 answers are missing: --target, --storage, --schedule, --retention.
        err|   cause: --target: what to back up: pvc/NAME, deployment/NAME, statefulset/NAME or daemonset/NAME
        err|   cause: --storage: a BackupStorage; namespace create-missing can use none yet: `kubectl kubestash create storage` makes one
        err|   cause: --schedule: when to back up, as a cron expression: --schedule '0 2 * * *'
        err|   cause: --retention: a RetentionPolicy, of which there is none yet; or rules for a new one: --keep-daily 7, --keep-weekly 5, --max-age 1y, …
        err| hint: `kubectl kubestash create backup --help` explains every flag; on a terminal the command asks for them
        ");
    shown!(with(&["create", "storage"]), @r"
        exit 2
        err| error: there is no terminal to ask on, and 3 answers are missing: --provider, --bucket, --secret.
        err|   cause: --provider: s3, gcs, azure or local; each has flags of its own
        err|   cause: --bucket: the bucket
        err|   cause: --secret: the credentials: --secret NAME of one that exists, --from-env, --from-file FILE, or --no-secret
        err| hint: `kubectl kubestash create storage --help` explains every flag; on a terminal the command asks for them
        ");
    shown!(with(&["create", "storage", "--provider", "azure"]), @r"
        exit 2
        err| error: there is no terminal to ask on, and 3 answers are missing: --account, --container, --secret.
        err|   cause: --account: the storage account
        err|   cause: --container: the container
        err|   cause: --secret: the credentials: --secret NAME of one that exists, --from-env, --from-file FILE, or --no-secret
        err| hint: `kubectl kubestash create storage --help` explains every flag; on a terminal the command asks for them
        ");
    shown!(with(&["create", "retention"]), @r"
        exit 2
        err| error: there is no terminal to ask on, and one answer is missing: --keep-daily.
        err|   cause: --keep-daily: how much to keep: --keep-last, --keep-hourly, --keep-daily, --keep-weekly, --keep-monthly, --keep-yearly or --max-age
        err| hint: `kubectl kubestash create retention --help` explains every flag; on a terminal the command asks for them
        ");
    shown!(with(&["create", "restore"]), @r"
        exit 2
        err| error: there is no terminal to ask on, and one answer is missing: --repo.
        err|   cause: --repo: a Repository; namespace create-missing has none yet; a backup makes one
        err| hint: `kubectl kubestash create restore --help` explains every flag; on a terminal the command asks for them
        ");
    shown!(with(&["restore"]), @r"
        exit 2
        err| error: there is no terminal to ask on, and what to restore from is missing: BACKUPCONFIGURATION or SNAPSHOT.
        err| hint: `kubectl kubestash restore --help` shows what it takes
        err| hint: `kubectl kubestash snapshot list` lists what there is to restore
        ");
}

#[test]
fn a_backup_is_made_of_flags_and_good_guesses() {
    let world = prepared("create-backup");
    let with =
        |words: &[&str]| world.run(&[&["create", "backup", "app", "-n", "create-backup"], words].concat());
    let flags = [
        "--target",
        "pvc/data",
        "--storage",
        "s3",
        "--schedule",
        "0 3 * * *",
        "--retention",
        "keep-week",
    ];
    let dry = with(&[&flags[..], &["--dry-run=client", "-o", "json"]].concat());
    assert_eq!(dry.code, 0, "{}", dry.err);
    assert!(
        dry.err.contains("the output holds the values of a Secret"),
        "{}",
        dry.err
    );
    let list = valid("create-backup", &dry.out)[0].clone();
    assert_eq!(list["items"][0]["kind"], "Secret");
    let session = &list["items"][1]["spec"]["sessions"][0];
    assert_eq!(
        (
            &session["name"],
            &session["repositories"][0]["directory"],
            &session["addon"]["name"]
        ),
        (&json!("daily"), &json!("/create-backup/app"), &json!("pvc-addon"))
    );
    assert!(!world.exists(
        &kubestash::cluster::kinds::BACKUP_CONFIGURATION,
        "create-backup",
        "app"
    ));
    shown!(with(&[&flags[..], &["--dry-run=server"]].concat()), @r"
    exit 0
    out| secret/backup-encryption created (server dry run)
    out| backupconfiguration.core.kubestash.com/app created (server dry run)
    ");
    let made = with(&[&flags[..], &["-o", "json", "-q"]].concat());
    assert_eq!(made.code, 0, "{}", made.err);
    let made = valid("create-backup", &made.out)[0].clone();
    assert_eq!(made["items"][0]["data"]["RESTIC_PASSWORD"], "(not shown)");
    // Again: nothing is made anew, and the password stays.
    shown!(with(&[&flags[..], &["-q"]].concat()), @r"
    exit 0
    out| backupconfiguration.core.kubestash.com/app unchanged
    ");
    let changed = [&flags[..5], &["0 4 * * *"], &flags[6..], &["-q"]].concat();
    shown!(with(&changed), @r"
    exit 0
    out| backupconfiguration.core.kubestash.com/app configured
    ");
}

#[test]
fn an_answers_file_gives_the_same_as_flags() {
    let world = prepared("create-answers");
    world.file(
        "answers.yaml",
        "name: db\ntarget: sts/db\nsession:\n- daily=0 2 * * *\n- hourly=0 * * * *\nkeep-daily: 7\nkeep-weekly: 4\nexclude: \"*.tmp\"\nparam: {enableCache: false}\nretries: 2\n",
    );
    let run = world.run(&[
        "create",
        "backup",
        "--answers",
        "answers.yaml",
        "-n",
        "create-answers",
        "--keep-daily",
        "3",
        "--dry-run=client",
        "-o",
        "json",
    ]);
    assert_eq!(run.code, 0, "{}", run.err);
    let items = serde_json::from_str::<Value>(&run.out).unwrap()["items"].clone();
    assert_eq!(items[1]["metadata"]["name"], "db-retention");
    assert_eq!(
        items[1]["spec"]["successfulSnapshots"],
        json!({"daily": 3, "weekly": 4})
    );
    let sessions = items[2]["spec"]["sessions"].clone();
    assert_eq!(sessions.as_array().unwrap().len(), 2);
    assert_eq!(
        sessions[1]["retryConfig"],
        json!({"maxRetry": 2, "delay": "1m0s"})
    );
    assert_eq!(
        sessions[0]["addon"]["tasks"][0]["params"],
        json!({"enableCache": "false", "exclude": "*.tmp", "paths": "/var/lib/db"})
    );
    world.file("wrong.yaml", "name: db\nschedul: x\n");
    shown!(world.run(&["create", "backup", "--answers", "wrong.yaml", "-n", "create-answers"]), @r"
        exit 2
        err| error: the answers in wrong.yaml cannot be used.
        err|   cause: schedul: unknown field `schedul`, expected one of `name`, `target`, `paths`, `exclude`, `param`, `addon`, `task`, `storage`, `schedule`, `session`, `retention`, `keep-last`, `keep-hourly`, `keep-daily`, `keep-weekly`, `keep-monthly`, `keep-yearly`, `keep-failed`, `max-age`, `repo`, `directory`, `encryption-secret`, `run-as-user`, `backup-timeout`, `retries`
        ");
}

#[test]
fn mistakes_are_told_before_anything_is_written() {
    let world = prepared("create-wrong");
    let with = |words: &[&str]| {
        world.run(
            &[
                &[
                    "create",
                    "backup",
                    "-n",
                    "create-wrong",
                    "--storage",
                    "s3",
                    "--retention",
                    "keep-week",
                ],
                words,
            ]
            .concat(),
        )
    };
    shown!(with(&["--target", "pvc/data", "--schedule", "0 3 * *"]), @r#"
        exit 2
        err| error: --schedule "0 3 * *": a schedule has 5 fields (minute, hour, day of month, month, day of week), this one has 4.
        "#);
    shown!(with(&["--target", "pvc/nothing", "--schedule", "@daily"]), @r"
        exit 6
        err| error: PersistentVolumeClaim nothing in namespace create-wrong not found.
        err| hint: `kubectl get persistentvolumeclaims -n create-wrong` lists what there is
        ");
    shown!(with(&["--target", "data", "--schedule", "@daily"]), @r#"
        exit 2
        err| error: "data": say of which kind it is: pvc/NAME, deployment/NAME, statefulset/NAME or daemonset/NAME.
        "#);
    shown!(with(&["--target", "pvc/data", "--schedule", "@daily", "--addon", "nothing"]), @r"
        exit 6
        err| error: Addon nothing not found.
        err| hint: there are: pvc-addon, workload-addon
        ");
    shown!(world.run(&["create", "storage", "-n", "create-wrong", "--endpoint", "http://minio:9000", "--bucket", "create-wrong", "--secret", "nothing", "--skip-check"]), @r"
        exit 7
        err| error: BackupStorage create-wrong/s3-storage is not valid: spec.storage: BackupStorage create-wrong/s3 points at the same directory of the same bucket; two may not: choose another prefix, or use that one.
        ");
    shown!(world.run(&["create", "retention", "-n", "create-wrong", "--max-age", "soon"]), @r"
        exit 7
        err| error: RetentionPolicy create-wrong/keep-soon is not valid: spec.maxRetentionPeriod: `soon` is not a period: write numbers with units y, mo, w, d, h, m, such as 1y6mo or 30d.
        ");
}

#[test]
fn backups_beside_an_applications_data_are_warned_of() {
    let world = prepared("create-beside");
    world.create(&json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "create-beside"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "web"}],
                "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}}}}));
    world.create(&json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "own", "namespace": "create-beside"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}));
    let with = |claim: &str| {
        let command = [
            "create",
            "storage",
            "-n",
            "create-beside",
            "--dry-run=client",
            "-o",
            "jsonpath={.kind}",
            "--pvc",
        ];
        world.run(&[&command[..], &[claim]].concat())
    };
    shown!(with("data"), @r"
    exit 0
    out| BackupStorage
    err| warning: deployment/web uses PersistentVolumeClaim data, too: what destroys its data destroys the backups beside it. A claim of its own, best on another disk, keeps them apart.
    ");
    shown!(with("own"), @r"
    exit 0
    out| BackupStorage
    ");
}

#[test]
fn whoever_may_not_and_where_nothing_is_installed() {
    let world = prepared("create-nobody");
    let flags = [
        "create",
        "backup",
        "app",
        "-n",
        "create-nobody",
        "--target",
        "pvc/data",
        "--storage",
        "s3",
        "--schedule",
        "@daily",
        "--retention",
        "keep-week",
        "--encryption-secret",
        "key",
    ];
    shown!(world.run(&[&flags[..], &["--as", "nobody"]].concat()), @r#"
        exit 8
        err| error: backupconfigurations.core.kubestash.com "app" is forbidden: User "nobody" cannot patch resource "backupconfigurations" in API group "core.kubestash.com" in the namespace "create-nobody".
        err|   cause: while BackupConfiguration app was applied
        err| hint: ask an administrator for the ClusterRole kubestash-edit (or kubestash-view to look only) in this namespace
        "#);
    let bare = World::empty();
    shown!(bare.run(&["create", "storage"]), @r"
        exit 7
        err| error: KubeStash is not installed in this cluster.
        err|   cause: the API server does not know the kind BackupStorage
        err| hint: `kubectl kubestash install` installs it
        ");
    // Several kinds are read at once; whichever is missed first is named.
    let restore = bare.run(&["create", "restore"]);
    assert_eq!(restore.code, 7, "{}", restore.all());
    assert!(
        restore.err.contains("KubeStash is not installed in this cluster"),
        "{}",
        restore.all()
    );
}

#[test]
fn credentials_go_into_the_secret_and_nowhere_else() {
    let world = world();
    world.namespace("create-storage");
    world.file(
        "keys.env",
        "AWS_ACCESS_KEY_ID=id\nAWS_SECRET_ACCESS_KEY=topsecret\n",
    );
    let flags = [
        "create",
        "storage",
        "minio",
        "-n",
        "create-storage",
        "--endpoint",
        "http://minio:9000",
        "--bucket",
        "b-create-storage",
    ];
    let from_file = world.run(
        &[
            &flags[..],
            &["--from-file", "keys.env", "--skip-check", "-o", "yaml", "-v"],
        ]
        .concat(),
    );
    assert_eq!(from_file.code, 0, "{}", from_file.err);
    assert!(
        !from_file.all().contains("topsecret") && !from_file.all().contains("dG9wc2VjcmV0"),
        "{}",
        from_file.all()
    );
    assert!(world.exists(
        &kubestash::cluster::kinds::SECRET,
        "create-storage",
        "minio-credentials"
    ));
    let stdin = world.run_with(
        &[&flags[..], &["--from-file", "-", "--skip-check"]].concat(),
        r#"{"accessKey": "id", "secretKey": "topsecret"}"#,
    );
    shown!(stdin, @r"
        exit 0
        out| secret/minio-credentials unchanged
        out| backupstorage.storage.kubestash.com/minio unchanged
        err| Next: `kubectl kubestash create backup --storage minio -n create-storage`
        ");
    shown!(world.run(&["create", "retention", "short", "-n", "create-storage", "--keep-last", "5", "--max-age", "14d", "--default"]), @r"
        exit 0
        out| retentionpolicy.storage.kubestash.com/short created
        err| With a backup every night: in the long run it keeps 5 Snapshots, the oldest about 4 days old.
        ");
}

/// Nothing runs pods here, so that the proof cannot end: it says so in time, and leaves nothing behind.
#[test]
fn a_proof_that_does_not_end_leaves_nothing_behind() {
    let world = world();
    world.namespace("create-proof");
    world.file(
        "keys.env",
        "AWS_ACCESS_KEY_ID=id\nAWS_SECRET_ACCESS_KEY=topsecret\n",
    );
    shown!(world.run(&["create", "storage", "minio", "-n", "create-proof", "--endpoint", "http://minio:9000", "--bucket", "b-create-proof",
        "--from-file", "keys.env", "--check-timeout", "1s"]), @r"
        exit 5
        err| proving that the storage can be listed, written, read and deleted from
        err| error: the proof of the storage did not end within [age].
        err|   cause: its pod did not start: no pod yet
        err| hint: `--check-timeout` allows more time, `--image` names another image, `--skip-check` goes without the proof
        ");
    for kind in ["jobs", "secrets", "backupstorages.storage.kubestash.com"] {
        assert_eq!(world.names(kind, "create-proof"), Vec::<String>::new(), "{kind}");
    }
}

#[test]
fn a_restore_is_made_of_its_repository_alone() {
    let world = prepared("create-restore");
    world.create(&json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Repository", "metadata": {"name": "repo", "namespace": "create-restore"},
        "spec": {"path": "/x", "appRef": {"kind": "PersistentVolumeClaim", "name": "data", "namespace": "create-restore"}, "storageRef": {"name": "s3", "namespace": "create-restore"}}}));
    world.create(&snapshot(
        "create-restore",
        "repo-1",
        "Succeeded",
        "2026-01-01T00:00:00Z",
    ));
    let with = |words: &[&str]| world.run(&[&["create", "restore", "-n", "create-restore"], words].concat());
    let made = with(&["back", "--repo", "repo", "-o", "json", "-q"]);
    assert_eq!(made.code, 0, "{}", made.err);
    assert_eq!(
        valid("create-restore", &made.out)[0]["spec"],
        json!({
            "target": {"apiGroup": "", "kind": "PersistentVolumeClaim", "namespace": "create-restore", "name": "data"},
            "dataSource": {"repository": "repo", "snapshot": "latest"},
            "addon": {"name": "pvc-addon", "tasks": [{"name": "logical-backup-restore"}]},
        })
    );
    shown!(with(&["--repo", "repo", "--snapshot", "repo-9"]), @r"
    exit 6
    err| error: Repository repo has no Snapshot repo-9.
    err| hint: `kubectl kubestash snapshot list --repo repo -n create-restore` lists them
    ");
    shown!(with(&["--repo", "repo", "--target", "sts/db"]), @r"
    exit 7
    err| error: the backup was made of a PersistentVolumeClaim, whose paths a StatefulSet does not have.
    ");
}

#[test]
fn a_restore_into_somebody_elses_data_is_refused_before_anything_is_written() {
    let namespace = "create-guard";
    let world = prepared(namespace);
    world.create(&json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "other", "namespace": namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}));
    world.create(&json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Repository", "metadata": {"name": "repo", "namespace": namespace},
        "spec": {"path": "/x", "appRef": {"kind": "PersistentVolumeClaim", "name": "data", "namespace": namespace}, "storageRef": {"name": "s3", "namespace": namespace}}}));
    world.create(&snapshot(
        namespace,
        "repo-1",
        "Succeeded",
        "2026-01-01T00:00:00Z",
    ));
    let mut protects = configuration(namespace, "theirs");
    protects["spec"]["target"]["name"] = json!("other");
    world.create(&protects);
    let with = |words: &[&str]| {
        let command = [
            "create",
            "restore",
            "r",
            "-n",
            namespace,
            "--repo",
            "repo",
            "--target",
            "pvc/other",
        ];
        world.run(&[&command, words].concat())
    };
    shown!(with(&[]), @r"
    exit 7
    err| error: this restore is probably not what you want.
    err|   cause: Snapshot repo-1 is of PersistentVolumeClaim create-guard/data, but PersistentVolumeClaim create-guard/other has backups of its own (BackupConfiguration theirs)
    err| hint: `--i-mean repo-1` restores it all the same
    ");
    shown!(with(&["--i-mean", "repo-2"]), @r"
    exit 2
    err| error: --i-mean repo-2: the Snapshot that would be restored is repo-1.
    err| hint: `kubectl kubestash create restore --help` shows what it takes
    ");
    assert_eq!(
        world.names("restoresessions.core.kubestash.com", namespace),
        Vec::<String>::new()
    );
    assert_eq!(with(&["--dry-run=client"]).code, 0, "only shown, not done");
    shown!(with(&["--i-mean", "repo-1"]), @r"
    exit 0
    out| restoresession.core.kubestash.com/r created
    err| The restore has begun: `kubectl kubestash logs restoresession/r -f -n create-guard` follows it
    ");
}
