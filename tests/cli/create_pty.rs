//! The wizards as people meet them: in a terminal, with keys.

use rexpect::session::{PtySession, spawn_command};
use serde_json::json;

use super::create::prepared;
use super::world::{World, snapshot, world};

const ESCAPE: &str = "\u{1b}";
const DOWN: &str = "\u{1b}[B";
const ENTER: &str = "\r";

/// A session in a terminal, and everything that it showed so far.
struct Person {
    session: PtySession,
    seen: String,
}

impl Person {
    fn runs(world: &World, args: &[&str]) -> Self {
        Self::edits_with("true", world, args)
    }

    fn edits_with(editor: &str, world: &World, args: &[&str]) -> Self {
        let mut command = world.command(args);
        command
            .env("TERM", "xterm-256color")
            .env("EDITOR", editor)
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        Person {
            session: spawn_command(command, Some(60_000)).unwrap(),
            seen: String::new(),
        }
    }

    fn sees(&mut self, text: &str) -> &mut Self {
        match self.session.exp_string(text) {
            Ok(before) => {
                self.seen.push_str(&before);
                self.seen.push_str(text);
            }
            Err(error) => panic!("{text:?} never came: {error}\nbefore it: {}", self.seen),
        }
        self
    }

    fn types(&mut self, keys: &str) -> &mut Self {
        self.session.send(keys).unwrap();
        self.session.flush().unwrap();
        self
    }

    /// The exit code, with everything that was shown.
    fn ends(mut self) -> (i32, String) {
        let rest = self.session.exp_eof().unwrap();
        self.seen.push_str(&rest);
        // The type of the status is private to the crate; its text is `Exited(Pid(1), 0)`.
        let status = format!("{:?}", self.session.process().wait().unwrap());
        let code = status.strip_prefix("Exited(").and_then(|s| s.rsplit_once(", "));
        match code.and_then(|(_, code)| code.trim_end_matches(')').parse().ok()) {
            Some(code) => (code, self.seen),
            None => panic!("{status}\n{}", self.seen),
        }
    }
}

/// What stands on the screen after all that was written: lines, as far as cursor movements and erasing make them. Signs that
/// are no ASCII arrive as several, as the session reads bytes.
fn screen(written: &str) -> Vec<String> {
    let mut lines: Vec<Vec<char>> = vec![Vec::new()];
    let (mut row, mut column) = (0, 0);
    let mut rest = written.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\r' => column = 0,
            '\n' => {
                row += 1;
                if row == lines.len() {
                    lines.push(Vec::new());
                }
            }
            '\u{1b}' if rest.peek() == Some(&'[') => {
                rest.next();
                let mut number = String::new();
                let end = loop {
                    match rest.next() {
                        Some(c) if c.is_ascii_alphabetic() => break c,
                        Some(c) => number.push(c),
                        None => return Vec::new(),
                    }
                };
                let count = number.parse().unwrap_or(1);
                match end {
                    'A' => row = row.saturating_sub(count),
                    'B' => {
                        row += count;
                        while lines.len() <= row {
                            lines.push(Vec::new());
                        }
                    }
                    'C' => column += count,
                    'D' => column = column.saturating_sub(count),
                    'K' if number == "2" => lines[row].clear(),
                    'K' => lines[row].truncate(column),
                    _ => {}
                }
            }
            c if c.is_control() => {}
            c => {
                let line = &mut lines[row];
                while line.len() <= column {
                    line.push(' ');
                }
                line[column] = c;
                column += 1;
            }
        }
    }
    lines
        .into_iter()
        .map(|l| l.into_iter().collect::<String>().trim_end().to_owned())
        .collect()
}

#[test]
fn a_policy_is_made_with_a_few_keys() {
    let world = world();
    world.namespace("pty-retention");
    let mut person = Person::runs(world, &["create", "retention", "-n", "pty-retention"]);
    person.sees("How much to keep").sees("own rules").types(ENTER);
    person
        .sees("Name of the RetentionPolicy")
        .sees("keep-month")
        .types("mine\r");
    person
        .sees("Who may use this policy")
        .sees("labels")
        .types(DOWN)
        .types(ENTER);
    person.sees("Make it the default policy").sees("no").types(ENTER);
    person
        .sees("The same without questions")
        .sees("create retention mine -n pty-retention --keep-daily 7")
        .sees("--keep-weekly 5 --allow all");
    person
        .sees("RetentionPolicy pty-retention/mine")
        .sees("What now")
        .sees("quit")
        .types(ENTER);
    let (code, seen) = person.ends();
    assert_eq!(code, 0, "{seen}");
    assert!(
        seen.contains("retentionpolicy.storage.kubestash.com/mine created"),
        "{seen}"
    );
    assert!(world.exists(
        &kubestash::cluster::kinds::RETENTION_POLICY,
        "pty-retention",
        "mine"
    ));
}

#[test]
fn escape_goes_back_and_interrupting_changes_nothing() {
    let world = prepared("pty-backup");
    let mut person = Person::runs(world, &["create", "backup", "-n", "pty-backup"]);
    person
        .sees("What shall be backed up")
        .sees("statefulset/db")
        .sees("pvc/data")
        .types(ENTER);
    person.sees("Name of the BackupConfiguration").types(ESCAPE);
    person
        .sees("What shall be backed up")
        .sees("pvc/data")
        .types(DOWN)
        .types(ENTER);
    person.sees("Name of the BackupConfiguration").types(ENTER);
    person
        .sees("Anything to change")
        .sees("allowPartial")
        .types(ENTER);
    person.sees("Where to").sees("http://minio:9000").types(ENTER);
    person.sees("When").sees("another").types(ENTER);
    person
        .sees("Next: ")
        .sees("Add another schedule")
        .sees("no")
        .types(ENTER);
    person
        .sees("What is kept")
        .sees("7 daily")
        .sees("a new policy")
        .types(ENTER);
    person.sees("The backup runs as").sees("nobody").types(ENTER);
    person
        .sees("create backup data -n pty-backup --target pvc/data")
        .sees("What now")
        .sees("quit")
        .types("\u{3}");
    let (code, seen) = person.ends();
    assert_eq!(code, 130, "{seen}");
    assert!(seen.contains("Nothing was changed."), "{seen}");
    assert!(seen.contains("RESTIC_PASSWORD: (not shown)"), "{seen}");
    // The answer that was taken back is not on the screen any more.
    let screen = screen(&seen);
    let answers: Vec<&String> = screen
        .iter()
        .filter(|l| l.contains("What shall be backed up"))
        .collect();
    assert_eq!(answers.len(), 1, "{screen:#?}");
    assert!(answers[0].contains("pvc/data"), "{screen:#?}");
    assert!(!world.exists(
        &kubestash::cluster::kinds::BACKUP_CONFIGURATION,
        "pty-backup",
        "data"
    ));
    assert!(!world.exists(
        &kubestash::cluster::kinds::SECRET,
        "pty-backup",
        "backup-encryption"
    ));
}

#[test]
fn keys_are_typed_without_echo_and_saved_manifests_are_private() {
    let world = world();
    world.namespace("pty-storage");
    let mut person = Person::runs(
        world,
        &[
            "create",
            "storage",
            "-n",
            "pty-storage",
            "--provider",
            "s3",
            "--bucket",
            "b-pty",
            "--prefix",
            "x",
            "--region",
            "eu",
            "--skip-check",
        ],
    );
    person.sees("Which S3 server").sees("another server").types(ENTER);
    person
        .sees("Credentials")
        .sees("type them")
        .sees("none")
        .types(ENTER);
    person
        .sees("Access key")
        .sees("not shown while you type")
        .types("identifier\r");
    person
        .sees("Secret key")
        .sees("not shown while you type")
        .types("dont-show-me\r");
    person.sees("Name of the BackupStorage").types(ENTER);
    person
        .sees("Who may use this storage")
        .sees("labels")
        .types(ENTER);
    person.sees("Make it the default storage").sees("no").types(ENTER);
    person
        .sees("--from-env")
        .sees("What now")
        .sees("quit")
        .types(DOWN)
        .types(ENTER);
    person.sees("File").types("saved.yaml\r");
    let (code, seen) = person.ends();
    assert_eq!(code, 0, "{seen}");
    assert!(
        !seen.contains("dont-show-me") && !seen.contains("identifier"),
        "{seen}"
    );
    let path = world.path("saved.yaml");
    let saved = std::fs::read_to_string(&path).unwrap();
    assert!(
        saved.contains("kind: BackupStorage") && saved.contains("AWS_SECRET_ACCESS_KEY"),
        "{saved}"
    );
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert!(!world.exists(
        &kubestash::cluster::kinds::BACKUP_STORAGE,
        "pty-storage",
        "s3-storage"
    ));
}

#[test]
fn restore_without_anything_opens_the_wizard() {
    let world = prepared("pty-restore");
    world.create(&json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Repository", "metadata": {"name": "repo", "namespace": "pty-restore"},
        "spec": {"path": "/x", "appRef": {"kind": "PersistentVolumeClaim", "name": "data", "namespace": "pty-restore"}, "storageRef": {"name": "s3", "namespace": "pty-restore"}}}));
    world.create(&snapshot(
        "pty-restore",
        "repo-1",
        "Succeeded",
        "2026-01-01T00:00:00Z",
    ));
    world.later(
        "restoresessions",
        "pty-restore",
        "repo-restore",
        json!({"phase": "Succeeded", "components": {"dump": {"phase": "Succeeded"}}}),
    );
    let mut person = Person::runs(world, &["restore", "-n", "pty-restore"]);
    person.sees("Restore from").sees("of pvc/data").types(ENTER);
    person
        .sees("Which Snapshot")
        .sees("latest")
        .sees("repo-1")
        .types(ENTER);
    person
        .sees("Restore into")
        .sees("where it came from")
        .sees("in another namespace")
        .types(ENTER);
    person.sees("Which files").sees("everything").types(ENTER);
    person
        .sees("create restore -n pty-restore --repo repo")
        .sees("What now")
        .sees("quit")
        .types(ENTER);
    let (code, seen) = person.ends();
    assert_eq!(code, 0, "{seen}");
    assert!(seen.contains("Succeeded"), "{seen}");
}

#[test]
fn only_the_last_refusal_stands_and_nothing_half_typed_stays() {
    let world = world();
    world.namespace("pty-refused");
    let args = ["create", "storage", "-n", "pty-refused", "--provider", "azure"];
    let mut person = Person::runs(world, &args);
    person.sees("Storage account").types(ENTER);
    person.sees("a name is needed").types("with blanks\r");
    person.sees("letters, digits, -, . and _ only").types("half");
    person.sees("half").types("\u{3}");
    let (code, seen) = person.ends();
    assert_eq!(code, 130, "{seen}");
    let screen = screen(&seen);
    let left: Vec<&String> = screen.iter().filter(|l| !l.is_empty()).collect();
    assert!(
        left.iter()
            .all(|l| !l.contains("half") && !l.contains("needed") && !l.contains("only")),
        "{screen:#?}"
    );
    assert!(
        left.last().unwrap().contains("Nothing was changed."),
        "{screen:#?}"
    );
}

#[test]
fn leaving_a_step_of_two_questions_asks_the_first_of_them_again() {
    let world = world();
    world.namespace("pty-two");
    let args = ["create", "storage", "-n", "pty-two", "--provider", "local"];
    let mut person = Person::runs(world, &args);
    person.sees("Which volume").sees("hostPath").types(ENTER);
    person.sees("NFS export").types("nas:/x\r");
    person.sees("Name of the BackupStorage").types(ESCAPE);
    person.sees("Which volume").sees("hostPath").types(ENTER);
    person.sees("NFS export").types("nas:/y\r");
    person.sees("Name of the BackupStorage").types("\u{3}");
    let (code, seen) = person.ends();
    assert_eq!(code, 130, "{seen}");
    let screen = screen(&seen);
    let shown = |text: &str| screen.iter().filter(|l| l.contains(text)).count();
    assert_eq!(
        (shown("Which volume"), shown("nas:/x"), shown("nas:/y")),
        (1, 0, 1),
        "{screen:#?}"
    );
}

#[test]
fn what_is_edited_is_what_is_proven() {
    let world = world();
    world.namespace("pty-proof");
    world.create(
        &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "older", "namespace": "pty-proof"},
        "data": {"AWS_ACCESS_KEY_ID": "b2xkZXI=", "AWS_SECRET_ACCESS_KEY": "b2xkZXI="}}),
    );
    let args = [
        "create",
        "storage",
        "s3",
        "-n",
        "pty-proof",
        "--provider",
        "s3",
        "--endpoint",
        "http://127.0.0.1:9",
        "--bucket",
        "before",
        "--secret",
        "older",
        "--allow",
        "same",
        "-i",
    ];
    let mut person = Person::edits_with("sed -i s/before/changed-by-hand/", world, &args);
    person.sees("Directory in the bucket").types(ENTER);
    person.sees("Make it the default storage").sees("no").types(ENTER);
    person.sees("bucket: before").sees("What now").sees("quit");
    person.types(DOWN).types(DOWN).types(ENTER);
    person
        .sees("bucket: changed-by-hand")
        .sees("What now")
        .sees("quit")
        .types(ENTER);
    // The Job's plan is what the pod is going to try; no node runs it here.
    let start = std::time::Instant::now();
    let plan = loop {
        let names = world.names("secrets", "pty-proof");
        if let Some(name) = names.iter().find(|n| n.starts_with("prove-")) {
            break world.get("secrets", "pty-proof", name);
        }
        assert!(start.elapsed().as_secs() < 60, "no proof began: {names:?}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    let plan = plan["data"]["plan.json"].as_str().unwrap();
    let plan =
        String::from_utf8(base64::Engine::decode(&base64::prelude::BASE64_STANDARD, plan).unwrap()).unwrap();
    assert!(
        plan.contains("changed-by-hand") && !plan.contains("before"),
        "{plan}"
    );
    person.types("\u{3}");
    let (code, seen) = person.ends();
    assert_eq!(code, 130, "{seen}");
    let left = world.names("secrets", "pty-proof");
    assert_eq!(left, ["older"], "the proof takes its Secret away");
    assert!(!world.exists(&kubestash::cluster::kinds::BACKUP_STORAGE, "pty-proof", "s3"));
}
