//! Shell scripts stand for restic: how a run ends, and what is kept of it.

use super::*;

fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    command
}

async fn outcome(script: &str, limits: &Limits) -> Outcome {
    let mut redactor = Redactor::default();
    redactor.learn(["hunter2-secret"]);
    run(shell(script), "backup", false, limits, &redactor, &mut |_| {})
        .await
        .unwrap()
}

#[tokio::test]
async fn what_a_process_says_is_kept_and_cleaned() {
    let script = r#"echo 'plain hunter2-secret'; echo '{"message_type":"error","error":{"message":"open /a: permission denied"},"during":"scan","item":"/a"}' >&2
        echo '{"message_type":"error","error":{"message":"open /a: permission denied"},"during":"archival","item":"/a"}' >&2; exit 3"#;
    let outcome = outcome(script, &Limits::default()).await;
    assert_eq!((outcome.code, outcome.error_count), (Some(3), 1));
    assert!(
        outcome.tail_text().contains("plain [redacted]"),
        "{:?}",
        outcome.tail
    );
    let error = outcome.failure("backup").unwrap();
    assert!(matches!(&error.cause, Cause::Incomplete { files, count: 1 } if files == &["/a"]));
}

#[tokio::test]
async fn a_deadline_ends_even_what_ignores_sigterm() {
    let limits = Limits {
        deadline: Some(Instant::now() + Duration::from_millis(300)),
        grace: Duration::from_millis(300),
        ..Limits::default()
    };
    let began = Instant::now();
    let outcome = outcome("trap '' TERM; while :; do sleep 0.1; done", &limits).await;
    assert_eq!(outcome.stopped, Some(Cause::Timeout));
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(outcome.failure("backup").unwrap().cause, Cause::Timeout);
}

#[tokio::test]
async fn hopeless_complaints_end_the_run_early() {
    let script = r"for i in 1 2 3 4; do echo 'Stat(<config/>) returned error, retrying after 1s: Stat: The specified bucket does not exist' >&2; done; sleep 60";
    let began = Instant::now();
    let outcome = outcome(script, &Limits::default()).await;
    assert_eq!(outcome.stopped, Some(Cause::BucketMissing));
    assert!(began.elapsed() < Duration::from_secs(15));
}

#[tokio::test]
async fn a_silent_storage_is_given_up_when_patience_ends() {
    let script = r"for i in 1 2 3 4 5 6; do echo 'Stat(<config/>) returned error, retrying after 1s: dial tcp 127.0.0.1:1: connect: connection refused' >&2; sleep 0.2; done; sleep 60";
    let limits = Limits {
        patience: Duration::from_millis(500),
        ..Limits::default()
    };
    assert_eq!(outcome(script, &limits).await.stopped, Some(Cause::Unreachable));
}

#[tokio::test]
async fn cancelling_stops_the_process() {
    let limits = Limits::default();
    let cancel = limits.cancel.clone();
    let running = tokio::spawn(async move { outcome("echo started; exec sleep 60", &limits).await });
    cancel.cancel();
    let outcome = running.await.unwrap();
    assert!(matches!(outcome.stopped, Some(Cause::Killed { .. })));
}

#[tokio::test]
async fn a_flood_of_lines_keeps_only_the_last() {
    let outcome = outcome("i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done; head -c 300000 /dev/zero | tr '\\0' x", &Limits::default()).await;
    assert_eq!(outcome.code, Some(0));
    assert!(outcome.tail_text().len() <= TAIL);
    assert!(outcome.tail_text().contains("line 4999"));
}
