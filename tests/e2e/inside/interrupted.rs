//! Downloads that are interrupted: by us, by a pod that dies, by a reader whose time is up.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::super::stage::{Scene, eventually, stage};
use super::{Looker, TARGET, TOP, command, portrait, portrait_in, readers};

/// A download in the middle: some of it is proven to have arrived, and more is to come.
struct Midway {
    child: Child,
    to: String,
}

/// Starts a download and stops the process (it does not end) as soon as its journal lies in the directory.
fn midway(look: &Looker<'_>, name: &str) -> Midway {
    let to = look.to(name);
    let args: [&[u8]; 4] = [b"download", b"bc/big", b"--to", to.as_bytes()];
    let mut child = command(look.scene, look.dir.path(), &args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let journals = Path::new(&to).join(".kubestash-download");
    let start = Instant::now();
    loop {
        let written = std::fs::read_dir(&journals).into_iter().flatten().flatten();
        if written
            .into_iter()
            .any(|e| e.path().extension().is_some_and(|e| e == "json"))
        {
            break;
        }
        if let Some(ended) = child.try_wait().unwrap() {
            let output = child.wait_with_output().unwrap();
            panic!(
                "it ended ({ended}) before it could be stopped: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        assert!(start.elapsed() < Duration::from_secs(120), "nothing arrives");
        std::thread::sleep(Duration::from_millis(5));
    }
    signal(&child, "STOP");
    Midway { child, to }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
}

/// Lets it go on to its end.
fn ended(midway: Midway) -> (i32, String, String) {
    signal(&midway.child, "CONT");
    let output = midway.child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code().unwrap_or(-1),
        text(&output.stderr),
        midway.to,
    )
}

/// A volume with a file that takes a while, and one backup of it.
fn scene_with_a_big_file() -> Option<Scene> {
    let scene = stage()?.scene("cut");
    scene.storage();
    scene.volume("data");
    scene.stage.sh(
        &scene.namespace,
        "data-pod",
        r#"set -e; cd /data; mkdir a z; i=0; while [ $i -lt 200 ]; do echo "file $i" > a/f$i; echo "$i" > z/f$i; i=$((i+1)); done
dd if=/dev/urandom of=m bs=1048576 count=200 2>/dev/null"#,
    );
    scene.configuration("big", TARGET, "pvc-addon", "{}");
    scene.first_backup("big");
    Some(scene)
}

#[test]
fn an_interrupted_download_goes_on_where_it_stopped() {
    let Some(scene) = scene_with_a_big_file() else {
        return;
    };
    let stage = scene.stage;
    let look = Looker::new(&scene, false);
    let there = portrait_in(&scene, "data-pod", "/data");
    let same = |to: &str| assert_eq!(portrait(&format!("{to}/{TOP}")), there);

    // We are killed: the same command goes on.
    let mut cut = midway(&look, "killed");
    cut.child.kill().unwrap();
    cut.child.wait().unwrap();
    let again = look.asked(&["download", "bc/big", "--to", &cut.to]);
    assert_eq!(again.code, 0, "{}", again.err);
    assert!(again.err.contains("going on with"), "{}", again.err);
    same(&cut.to);
    assert!(!Path::new(&cut.to).join(".kubestash-download").exists());

    // What was there is gone: it begins anew, and says nothing of going on.
    let mut cut = midway(&look, "emptied");
    cut.child.kill().unwrap();
    cut.child.wait().unwrap();
    std::fs::remove_dir_all(format!("{}/{TOP}/a", cut.to)).unwrap();
    let anew = look.asked(&["download", "bc/big", "--to", &cut.to, "--overwrite"]);
    assert_eq!(anew.code, 0, "{}", anew.err);
    assert!(!anew.err.contains("going on with"), "{}", anew.err);
    same(&cut.to);

    // The reader's pod is killed: another one goes on.
    let cut = midway(&look, "pod");
    let pods = readers(&scene);
    let pod = pods[0]["metadata"]["name"].as_str().unwrap();
    stage
        .kubectl(&[
            "delete",
            "pod",
            pod,
            "-n",
            &scene.namespace,
            "--grace-period=0",
            "--force",
        ])
        .ok();
    let (code, err, to) = ended(cut);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("going on with another after"), "{err}");
    same(&to);

    // Its time is up in the middle: another one goes on.
    let cut = midway(&look, "time");
    let jobs: Vec<String> = readers(&scene)
        .iter()
        .filter(|p| p["metadata"]["name"] != pod)
        .map(|p| {
            p["metadata"]["labels"]["batch.kubernetes.io/job-name"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    let patch = r#"{"spec":{"activeDeadlineSeconds":1}}"#;
    for job in &jobs {
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
    }
    eventually("the reader's end", Duration::from_secs(90), || {
        let running = |p: &serde_json::Value| {
            p["status"]["phase"] == "Running" && p["metadata"]["deletionTimestamp"].is_null()
        };
        (!readers(&scene).iter().any(running)).then_some(())
    });
    let (code, err, to) = ended(cut);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("going on with another after"), "{err}");
    same(&to);
}
