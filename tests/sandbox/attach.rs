//! `kubectl attach`, and `kubectl run -i` that stands on it.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::AttachParams;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::node::Lab;

const LIMIT: Duration = Duration::from_secs(30);

/// Attaches, writes `input`, closes it, and answers what was heard until the container's end.
async fn talk(lab: &Lab, pod: &str, parameters: &AttachParams, input: &str) -> String {
    let mut attached = lab.api::<Pod>().attach(pod, parameters).await.unwrap();
    let mut stdin = attached.stdin().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    stdin.shutdown().await.unwrap();
    drop(stdin);
    let mut heard = String::new();
    let mut stdout = attached.stdout().unwrap();
    timeout(LIMIT, stdout.read_to_string(&mut heard))
        .await
        .unwrap()
        .unwrap();
    heard
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_attached_is_heard_and_ends_with_its_input() {
    let lab = Lab::new().await;
    let script = "echo early; read x; echo got $x; cat; echo oops >&2; exit 3";
    lab.pod(
        "talk",
        json!({"containers": [{"name": "c", "image": "x", "stdin": true, "stdinOnce": true,
            "command": ["sh", "-c", script]}]}),
    )
    .await;
    lab.running("talk").await;
    let parameters = AttachParams::default().stdin(true).stderr(false);
    let heard = talk(&lab, "talk", &parameters, "hello\nrest\n").await;
    assert_eq!(heard, "early\ngot hello\nrest\n");
    let pod = lab.phase("talk", "Failed").await;
    assert_eq!(
        pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"],
        3
    );
    let log = lab.logs("talk").await;
    // Two streams have no order among each other.
    assert!(
        heard.lines().all(|line| log.contains(line)) && log.contains("oops\n"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_is_one() {
    let lab = Lab::new().await;
    let script =
        "test -t 0 && test -t 1 && test -t 2 && echo terminal $TERM; stty -echo; read x; echo \"<$x>\"";
    lab.pod(
        "screen",
        json!({"securityContext": {"runAsUser": 0},
            "containers": [{"name": "c", "image": "x", "stdin": true, "tty": true, "command": ["sh", "-c", script]}]}),
    )
    .await;
    lab.running("screen").await;
    super::node::until_log(&lab, "screen", "terminal xterm").await;
    let parameters = AttachParams::interactive_tty();
    let mut attached = lab.api::<Pod>().attach("screen", &parameters).await.unwrap();
    let mut stdout = attached.stdout().unwrap();
    attached.stdin().unwrap().write_all(b"word\n").await.unwrap();
    let mut heard = String::new();
    timeout(LIMIT, stdout.read_to_string(&mut heard))
        .await
        .unwrap()
        .unwrap();
    assert!(
        heard.contains("terminal xterm") && heard.contains("<word>"),
        "{heard:?}"
    );
    lab.phase("screen", "Succeeded").await;
}

/// Reads until a word came.
async fn until(stdout: &mut (impl tokio::io::AsyncRead + Unpin), word: &str, heard: &mut String) {
    let mut buffer = [0; 1024];
    timeout(LIMIT, async {
        while !heard.contains(word) {
            let count = stdout.read(&mut buffer).await.unwrap();
            assert!(count > 0, "it ended without {word:?}: {heard:?}");
            heard.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    })
    .await
    .unwrap_or_else(|_| panic!("no {word:?} in {heard:?}"));
}

/// Says its terminal's name, and its size when that changes.
const LOOKS: &str =
    "trap 'echo told; stty size; exit 0' WINCH; tty; echo ready; while :; do sleep 0.05; done";

/// Waits for the script, makes the terminal larger, and answers all that was heard.
async fn resized(mut attached: kube::api::AttachedProcess) -> String {
    let mut stdout = attached.stdout().unwrap();
    let mut size = attached.terminal_size().unwrap();
    let mut heard = String::new();
    until(&mut stdout, "ready", &mut heard).await;
    let large = kube::api::TerminalSize {
        height: 40,
        width: 120,
    };
    futures::SinkExt::send(&mut size, large).await.unwrap();
    until(&mut stdout, "40 120", &mut heard).await;
    heard
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_has_a_name_and_the_size_of_its_users() {
    let lab = Lab::new().await;
    let root = json!({"runAsUser": 0});
    lab.pod(
        "idle",
        json!({"securityContext": root, "containers": [{"name": "c", "image": "x", "command": ["sleep", "600"]}]}),
    )
    .await;
    lab.pod(
        "screen",
        json!({"securityContext": root,
            "containers": [{"name": "c", "image": "x", "stdin": true, "tty": true, "command": ["sh", "-c", LOOKS]}]}),
    )
    .await;
    lab.running("idle").await;
    let parameters = AttachParams::interactive_tty();
    let pods = lab.api::<Pod>();
    let exec = pods.exec("idle", ["sh", "-c", LOOKS], &parameters).await.unwrap();
    let heard = resized(exec).await;
    assert!(heard.contains("/dev/pts/") && heard.contains("told"), "{heard:?}");
    lab.running("screen").await;
    let heard = resized(pods.attach("screen", &parameters).await.unwrap()).await;
    assert!(heard.contains("told"), "{heard:?}");
    lab.phase("screen", "Succeeded").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_without_input_is_listened_to_and_goes_on() {
    let lab = Lab::new().await;
    lab.pod(
        "clock",
        json!({"containers": [{"name": "c", "image": "x",
            "command": ["sh", "-c", "while :; do echo tick; sleep 0.1; done"]}]}),
    )
    .await;
    lab.running("clock").await;
    let parameters = AttachParams::default().stderr(false);
    let mut attached = lab.api::<Pod>().attach("clock", &parameters).await.unwrap();
    let mut heard = [0; 5];
    let mut stdout = attached.stdout().unwrap();
    timeout(LIMIT, stdout.read_exact(&mut heard))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&heard, b"tick\n");
    drop((stdout, attached));
    let before = lab.logs("clock").await.len();
    timeout(LIMIT, async {
        while lab.logs("clock").await.len() < before + 50 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .expect("nobody listens any more, and it goes on all the same");
}
