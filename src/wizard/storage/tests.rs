use super::*;
use crate::wizard::credentials;
use crate::wizard::prompter::{Halt, Nobody};
use crate::wizard::scripted::{Line, Scripted};
use crate::wizard::walk::Walk;

fn outside(environment: bool) -> Outside {
    Outside {
        environment: Arc::new(move |provider| {
            let value = |_: &str| environment.then(|| "from-env".to_owned());
            credentials::from_environment(provider, &value, &|_| None)
        }),
        file: Arc::new(|path| match path {
            "keys" => Ok("AWS_ACCESS_KEY_ID=id\nAWS_SECRET_ACCESS_KEY=s3cret\n".to_owned()),
            "google.json" => Ok("{\"type\": \"service_account\", \"private_key\": \"private\"}".to_owned()),
            "ca.crt" => Ok("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n".to_owned()),
            other => Err(format!("{other} cannot be read")),
        }),
    }
}

fn found() -> Arc<Found> {
    let mut found = Found {
        namespace: "demo".into(),
        endpoints: vec!["http://minio.storage.svc:9000".into()],
        ..Found::default()
    };
    found.add(
        &kinds::SECRET,
        json!({"metadata": {"name": "keys"}, "data": {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}}),
    );
    Arc::new(found)
}

fn run(answers: StorageAnswers, environment: bool, prompter: &mut dyn Prompter) -> (Reply<()>, State) {
    let mut state = State::new(answers, found(), outside(environment));
    let ended = Walk::default().run(&mut state, STEPS, prompter);
    (ended, state)
}

fn bucket() -> StorageAnswers {
    StorageAnswers {
        provider: Some("s3".into()),
        bucket: Some("backups".into()),
        ..StorageAnswers::default()
    }
}

#[test]
fn a_bucket_of_a_server_in_the_cluster_with_typed_keys() {
    let mut script = Scripted::new([
        Line::text("s3"),
        Line::text("http://minio.storage.svc:9000"),
        Line::text("wrong"),
        Line::Back,
        Line::text("backups"),
        Line::text("/prod/"),
        Line::text("type them"),
        Line::text("id"),
        Line::Back,
        Line::text("id"),
        Line::text("s3cret"),
        Line::text("minio"),
        Line::text("all"),
        Line::Confirm(true),
    ]);
    let (ended, state) = run(StorageAnswers::default(), false, &mut script);
    assert_eq!((ended, script.left()), (Ok(()), 0), "{}", script.shown);
    let objects = manifests(&state).unwrap();
    assert_eq!(
        objects[0]["data"],
        json!({"AWS_ACCESS_KEY_ID": "aWQ=", "AWS_SECRET_ACCESS_KEY": "czNjcmV0"})
    );
    assert_eq!(
        objects[1]["spec"],
        json!({
            "storage": {"provider": "s3", "s3": {"endpoint": "http://minio.storage.svc:9000", "bucket": "backups",
                "prefix": "prod", "secretName": "minio-credentials"}},
            "usagePolicy": {"allowedNamespaces": {"from": "All"}},
            "default": true,
            "deletionPolicy": "Delete",
        })
    );
    // The values are in the Secret and nowhere else.
    assert!(!format!("{state:?}").contains("s3cret"));
    let line = crate::wizard::answers::command_line("create storage", "demo", &state.answers);
    assert!(!line.contains("s3cret"), "{line}");
}

#[test]
fn without_anybody_every_missing_flag_is_named_at_once() {
    let mut nobody = Nobody::default();
    let (ended, _) = run(
        StorageAnswers {
            provider: Some("azure".into()),
            ..StorageAnswers::default()
        },
        false,
        &mut nobody,
    );
    assert_eq!(ended, Ok(()));
    let flags: Vec<&str> = nobody.missing.iter().map(|(flag, _)| flag.as_str()).collect();
    assert_eq!(flags, ["--account", "--container", "--secret"]);
    let mut nobody = Nobody::default();
    assert_eq!(run(StorageAnswers::default(), false, &mut nobody).0, Ok(()));
    let flags: Vec<&str> = nobody.missing.iter().map(|(flag, _)| flag.as_str()).collect();
    assert_eq!(flags, ["--provider", "--bucket", "--secret"]);
}

#[test]
fn what_stands_beside_the_keys_of_azure_has_flags() {
    let azure = StorageAnswers {
        account: Some("acc".into()),
        container: Some("c".into()),
        endpoint_suffix: Some("core.usgovcloudapi.net".into()),
        max_connections: Some(3),
        ..StorageAnswers::default()
    };
    let mut nobody = Nobody::default();
    let typed = StorageAnswers {
        secret: Some("mine".into()),
        ..azure.clone()
    };
    let (ended, _) = run(typed, true, &mut nobody);
    assert!(
        matches!(&ended, Err(Halt::Failed(why, _)) if why.contains("--endpoint-suffix goes into a new Secret")),
        "{ended:?}"
    );
    let (_, mut state) = run(azure, false, &mut Nobody::default());
    state.answers.name = Some("azure-storage".into());
    assert_eq!(
        manifests(&state).unwrap()[0]["spec"]["storage"]["azure"]["maxConnections"],
        3
    );
}

#[test]
fn flags_alone_make_a_storage() {
    let mut nobody = Nobody::default();
    let (ended, state) = run(
        StorageAnswers {
            from_file: Some("keys".into()),
            endpoint: Some("https://s3.example.com".into()),
            ca_file: Some("ca.crt".into()),
            provider: None,
            ..bucket()
        },
        false,
        &mut nobody,
    );
    assert_eq!((ended, nobody.missing.len()), (Ok(()), 0));
    let objects = manifests(&state).unwrap();
    assert!(objects[0]["data"]["CA_CERT_DATA"].is_string());
    assert_eq!(objects[1]["metadata"]["name"], "s3-storage");
    let (ended, state) = run(
        StorageAnswers {
            nfs: Some("nas:/exports/b".into()),
            ..StorageAnswers::default()
        },
        false,
        &mut nobody,
    );
    assert_eq!(ended, Ok(()));
    let objects = manifests(&state).unwrap();
    assert_eq!(
        objects[0]["spec"]["storage"],
        json!({"provider": "local", "local": {"nfs": {"server": "nas", "path": "/exports/b"}, "mountPath": "/backups"}})
    );
    assert_eq!(
        objects[0]["spec"]["runtimeSettings"]["pod"]["securityContext"]["runAsUser"],
        0
    );
}

#[test]
fn what_cannot_be_right_is_said_before_anything_is_made() {
    let mut nobody = Nobody::default();
    let mut refused = |answers: StorageAnswers| match run(answers, false, &mut nobody).0 {
        Err(Halt::Failed(message, _)) => message,
        other => format!("{other:?}"),
    };
    let with = |change: fn(&mut StorageAnswers)| {
        let mut answers = StorageAnswers {
            secret: Some("keys".into()),
            ..bucket()
        };
        change(&mut answers);
        answers
    };
    assert!(refused(with(|a| a.provider = Some("ftp".into()))).contains("none of s3"));
    assert!(refused(with(|a| a.bucket = Some("a/b".into()))).contains("cannot be right"));
    assert!(refused(with(|a| a.endpoint = Some("https://x/bucket".into()))).contains("asked for apart"));
    assert!(refused(with(|a| a.name = Some("A".into()))).contains("is no name"));
    assert!(
        refused(with(|a| {
            a.provider = Some("local".into());
            a.host_path = Some("/srv".into());
            a.mount_path = Some("/kubestash/x".into());
        }))
        .contains("the program itself")
    );
    assert!(refused(with(|a| a.deletion_policy = Some("Keep".into()))).contains("neither"));
    assert!(
        refused(with(|a| {
            a.secret = None;
            a.from_env = true;
        }))
        .contains("lacks AWS_ACCESS_KEY_ID")
    );
}

#[test]
fn an_existing_secret_is_offered_and_the_environment_too() {
    let mut script = Scripted::new([
        Line::text("Amazon S3"),
        Line::Default,
        Line::Default,
        Line::text("from the environment"),
        Line::Back,
        Line::text("secret/keys"),
        Line::Default,
        Line::Default,
        Line::Default,
    ]);
    let (ended, state) = run(bucket(), true, &mut script);
    assert_eq!((ended, script.left()), (Ok(()), 0), "{}", script.shown);
    let objects = manifests(&state).unwrap();
    assert_eq!(objects.len(), 1);
    assert_eq!(objects[0]["spec"]["storage"]["s3"]["secretName"], "keys");
    assert_eq!(objects[0]["spec"]["storage"]["s3"]["region"], "us-east-1");
}

/// A wizard that is asked everything, with what the cluster of a shop has.
fn asked(lines: impl IntoIterator<Item = Line>) -> (State, Scripted) {
    let mut script = Scripted::new(lines);
    let mut found = (*found()).clone();
    found.targets = crate::wizard::target::tests::shop();
    let mut state = State::new(StorageAnswers::default(), Arc::new(found), outside(false));
    let ended = Walk::default().run(&mut state, STEPS, &mut script);
    assert_eq!((ended, script.left()), (Ok(()), 0), "{}", script.shown);
    (state, script)
}

/// The Secret, where one is made, and the BackupStorage.
fn made(state: &State) -> (Option<Value>, Value) {
    let mut objects = manifests(state).unwrap();
    let storage = objects.pop().unwrap();
    assert_eq!(storage["apiVersion"], "storage.kubestash.com/v1alpha1");
    assert_eq!(storage["kind"], "BackupStorage");
    assert_eq!(storage["metadata"]["namespace"], "demo");
    assert!(objects.len() < 2);
    (objects.pop(), storage)
}

#[test]
fn gcs_is_asked_for_screen_by_screen_and_back() {
    let (state, script) = asked([
        Line::text("gcs"),
        // Back to the very first question, and on again.
        Line::Back,
        Line::text("gcs"),
        Line::text("gcs-backups"),
        Line::text("/clusters/a/"),
        Line::Back,
        Line::text("/clusters/b/"),
        Line::text("from a file"),
        Line::Back,
        Line::text("from a file"),
        Line::text("google.json"),
        Line::Back,
        Line::text("google.json"),
        Line::text("offsite"),
        Line::text("labels"),
        Line::text("team=a"),
        Line::Confirm(false),
    ]);
    assert_eq!(
        script.asked,
        [
            "--provider",
            "--bucket",
            "--provider",
            "--bucket",
            "--prefix",
            "--secret",
            "--prefix",
            "--secret",
            "--from-file",
            "--secret",
            "--from-file",
            "NAME",
            "--from-file",
            "NAME",
            "--allow",
            "--allow",
            "--default",
        ]
    );
    let (secret, storage) = made(&state);
    let secret = secret.unwrap();
    assert_eq!(
        secret["metadata"],
        json!({"name": "offsite-credentials", "namespace": "demo"})
    );
    let keys: Vec<&String> = secret["data"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["GOOGLE_SERVICE_ACCOUNT_JSON_KEY"]);
    assert_eq!(storage["metadata"]["name"], "offsite");
    assert_eq!(
        storage["spec"],
        json!({
            "storage": {"provider": "gcs", "gcs": {"bucket": "gcs-backups", "prefix": "clusters/b",
                "secretName": "offsite-credentials"}},
            "usagePolicy": {"allowedNamespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "a"}}}},
            "deletionPolicy": "Delete",
        })
    );
    let line = crate::wizard::answers::command_line("create storage", "demo", &state.answers);
    assert!(
        line.contains("--from-file google.json") && !line.contains("private"),
        "{line}"
    );
}

#[test]
fn gcs_goes_without_a_secret_where_the_cloud_knows_its_pods() {
    let (state, _) = asked([
        Line::text("gcs"),
        Line::text("gcs-backups"),
        Line::Default,
        Line::text("none"),
        Line::Default,
        Line::Default,
        Line::Default,
    ]);
    let (secret, storage) = made(&state);
    assert_eq!(secret, None);
    assert_eq!(
        storage["spec"]["storage"],
        json!({"provider": "gcs", "gcs": {"bucket": "gcs-backups"}})
    );
    assert_eq!(storage["metadata"]["name"], "gcs-storage");
}

#[test]
fn azure_is_asked_for_screen_by_screen_and_back() {
    let (state, script) = asked([
        Line::text("azure"),
        Line::text("account"),
        Line::text("core.chinacloudapi.cn"),
        Line::text("wrong"),
        Line::Back,
        Line::Back,
        Line::Back,
        Line::text("shopaccount"),
        Line::text("another"),
        Line::text("azure.example.com"),
        Line::text("backups"),
        Line::Default,
        Line::text("type them"),
        Line::text("YXp1cmU="),
        Line::Default,
        Line::text("same"),
        Line::Confirm(true),
    ]);
    assert_eq!(
        script.asked,
        [
            "--provider",
            "--account",
            "--endpoint-suffix",
            "--container",
            "--prefix",
            "--container",
            "--endpoint-suffix",
            "--account",
            "--endpoint-suffix",
            "--endpoint-suffix",
            "--container",
            "--prefix",
            "--secret",
            "--from-env",
            "NAME",
            "--allow",
            "--default",
        ]
    );
    let (secret, storage) = made(&state);
    assert_eq!(
        secret.unwrap()["data"],
        json!({"AZURE_ACCOUNT_KEY": "WVhwMWNtVT0=", "AZURE_ENDPOINT_SUFFIX": "YXp1cmUuZXhhbXBsZS5jb20="})
    );
    assert_eq!(
        storage["spec"],
        json!({
            "storage": {"provider": "azure", "azure": {"storageAccount": "shopaccount", "container": "backups",
                "secretName": "azure-storage-credentials"}},
            "usagePolicy": {"allowedNamespaces": {"from": "Same"}},
            "default": true,
            "deletionPolicy": "Delete",
        })
    );
    assert!(!script.shown.contains("YXp1cmU="), "a key is shown nowhere");
}

#[test]
fn an_nfs_export_is_asked_for_and_back() {
    let (state, script) = asked([
        Line::text("local"),
        Line::text("nfs"),
        // The export is typed in the same step as the kind of volume is chosen: that is asked again.
        Line::Back,
        Line::text("nfs"),
        Line::text("nas.example.com:/exports/backups"),
        Line::text("nas"),
        Line::Back,
        Line::text("nas2"),
        Line::text("all"),
        Line::Confirm(false),
    ]);
    assert!(
        !script.asked.contains(&"--secret".to_owned()),
        "a volume has no credentials"
    );
    let (secret, storage) = made(&state);
    assert_eq!((secret, &storage["metadata"]["name"]), (None, &json!("nas2")));
    assert_eq!(
        storage["spec"],
        json!({
            "storage": {"provider": "local", "local": {"mountPath": "/backups",
                "nfs": {"server": "nas.example.com", "path": "/exports/backups"}}},
            "usagePolicy": {"allowedNamespaces": {"from": "All"}},
            "deletionPolicy": "Delete",
            "runtimeSettings": {"pod": {"securityContext": {"runAsUser": 0}}},
        })
    );
}

#[test]
fn a_directory_of_the_node_is_asked_for() {
    let (state, _) = asked([
        Line::text("local"),
        Line::text("hostPath"),
        Line::Default,
        Line::Default,
        Line::Default,
        Line::Default,
    ]);
    let (_, storage) = made(&state);
    assert_eq!(
        storage["spec"]["storage"]["local"],
        json!({"mountPath": "/backups", "hostPath": {"path": "/var/lib/kubestash/backups", "type": "DirectoryOrCreate"}})
    );
}

#[test]
fn a_claim_is_asked_for_and_an_applications_own_comes_last() {
    let (state, script) = asked([
        Line::text("local"),
        Line::text("pvc/documents"),
        Line::Default,
        Line::Default,
        Line::Default,
    ]);
    let at = |what: &str| script.shown.find(&format!("  - {what}  ")).unwrap();
    let order = ["pvc/documents", "nfs", "hostPath", "pvc/data-db-0"].map(at);
    assert!(order.is_sorted(), "{}", script.shown);
    assert!(
        script.shown.contains("used by statefulset/db"),
        "{}",
        script.shown
    );
    let (_, storage) = made(&state);
    assert_eq!(
        storage["spec"]["storage"],
        json!({"provider": "local", "local": {"mountPath": "/backups",
            "persistentVolumeClaim": {"claimName": "documents"}}})
    );
}

#[test]
fn an_authority_of_ones_own_goes_into_a_new_secret() {
    let (state, script) = asked([
        Line::text("s3"),
        Line::text("another server"),
        Line::text("https://s3.example.com:9000"),
        Line::text("backups"),
        Line::Default,
        Line::text("a public authority"),
        Line::Back,
        Line::text("an authority of your own"),
        Line::text("ca.crt"),
        Line::text("type them"),
        Line::text("id"),
        Line::text("s3cret"),
        Line::text("minio"),
        Line::Default,
        Line::Default,
    ]);
    // The Secret that is there has no certificate, and is not changed.
    let offered = script.shown.rsplit("? Credentials").next().unwrap();
    let offered = offered.split("? ").next().unwrap();
    assert!(
        !offered.contains("secret/keys") && !offered.contains("- none"),
        "{offered}"
    );
    let (secret, storage) = made(&state);
    assert_eq!(
        secret.unwrap()["data"],
        json!({"AWS_ACCESS_KEY_ID": "aWQ=", "AWS_SECRET_ACCESS_KEY": "czNjcmV0",
            "CA_CERT_DATA": "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCngKLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo="})
    );
    assert_eq!(
        storage["spec"]["storage"],
        json!({"provider": "s3", "s3": {"endpoint": "https://s3.example.com:9000", "bucket": "backups",
            "secretName": "minio-credentials"}})
    );
}

#[test]
fn a_server_whose_certificate_nobody_checks_says_so() {
    let (state, _) = asked([
        Line::text("s3"),
        Line::text("another server"),
        Line::text("https://s3.example.com"),
        Line::text("backups"),
        Line::Default,
        Line::text("nobody"),
        Line::text("secret/keys"),
        Line::Default,
        Line::Default,
        Line::Default,
    ]);
    let (secret, storage) = made(&state);
    assert_eq!(secret, None);
    assert_eq!(
        storage["spec"]["storage"]["s3"],
        json!({"endpoint": "https://s3.example.com", "bucket": "backups", "insecureTLS": true, "secretName": "keys"})
    );
}
