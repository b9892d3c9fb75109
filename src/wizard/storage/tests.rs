use super::*;
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
    assert!(refused(with(|a| a.bucket = Some("a/b".into()))).contains("no name of a bucket"));
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
