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
        let mut command = world.command(args);
        command.env("TERM", "xterm-256color").env("EDITOR", "true");
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
        .sees("create retention mine -n pty-retention --keep-daily 7 --keep-weekly 5 --allow all");
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
        .sees("create restore -n pty-restore --repo repo --snapshot latest")
        .sees("What now")
        .sees("quit")
        .types(ENTER);
    let (code, seen) = person.ends();
    assert_eq!(code, 0, "{seen}");
    assert!(seen.contains("Succeeded"), "{seen}");
}
