//! Ctrl-C while a command waits: it ends at once with 130 and says how to go on, the work in the cluster goes on, and what
//! was said leads back to it.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::stage::{Said, Scene, eventually, program, run, stage};

const PVC: &str = "{apiGroup: '', kind: PersistentVolumeClaim, name: data}";

impl Scene {
    /// Starts the plugin, interrupts it once an object of that kind runs, and answers what it said and the object's name.
    fn interrupted(&self, kind: &str, known: &[String], args: &[&str]) -> (Said, String) {
        let child = Command::new(program())
            .env("KUBECONFIG", &self.stage.kubeconfig)
            .env("NO_COLOR", "1")
            .args(args)
            .args(["-n", &self.namespace])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let name = eventually("what is waited for to run", Duration::from_secs(120), || {
            let all = self.stage.list(&self.namespace, kind, "");
            let new = all.iter().find(|o| {
                o["status"]["phase"] == "Running" && known.iter().all(|k| o["metadata"]["name"] != k.as_str())
            })?;
            Some(new["metadata"]["name"].as_str()?.to_owned())
        });
        let sent = Command::new("kill")
            .args(["-INT", &child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
        let at = Instant::now();
        let output = child.wait_with_output().unwrap();
        assert!(at.elapsed() < Duration::from_secs(10), "it ends at once");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = Said {
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        };
        (said, name)
    }

    /// Runs the command that was said in backticks and begins so.
    fn hinted(&self, said: &Said, begins: &str) -> Said {
        let line = said
            .err
            .split('`')
            .find(|part| part.starts_with(begins))
            .unwrap_or_else(|| panic!("{begins} is not in {said:?}"));
        let words = line.split_whitespace().skip(2);
        let mut command = Command::new(program());
        command
            .env("KUBECONFIG", &self.stage.kubeconfig)
            .env("NO_COLOR", "1")
            .args(words);
        run(&mut command, None)
    }

    fn names(&self, kind: &str) -> Vec<String> {
        let all = self.stage.list(&self.namespace, kind, "");
        all.iter()
            .map(|o| o["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    }
}

#[test]
fn an_interrupted_wait_leaves_the_work_going_on_and_leads_back_to_it() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("ctrl-c");
    let ns = scene.namespace.as_str();
    scene.storage();
    scene.volume("data");
    // Holes cost no space and some seconds to read and to write.
    stage.sh(ns, "data-pod", "echo one > /data/one; truncate -s 4G /data/hole");
    scene.configuration("app", PVC, "pvc-addon", "{}");
    let first = scene.first_backup("app");

    stage.sh(
        ns,
        "data-pod",
        "mv /data/hole /data/hole2; truncate -s 6G /data/hole2",
    );
    let (said, session) = scene.interrupted("backupsession", &[first], &["backup", "now", "app", "--wait"]);
    assert_eq!(said.code, 130, "{said:?}");
    assert!(said.err.contains(&format!("{session} goes on")), "{said:?}");
    let followed = scene.hinted(&said, "kubectl kubestash logs");
    assert_eq!(followed.code, 0, "{followed:?}");
    let ended = stage.get(ns, "backupsession", &session).unwrap();
    assert_eq!(ended["status"]["phase"], "Succeeded", "{ended:#}");

    for args in [
        &["restore", "app", "--wait"][..],
        &["restore", "app", "--logs", "-q"],
    ] {
        let known = scene.names("restoresession");
        let (said, restore) = scene.interrupted("restoresession", &known, args);
        assert_eq!(said.code, 130, "{said:?}");
        assert!(said.err.contains(&format!("{restore} goes on")), "{said:?}");
        let followed = scene.hinted(&said, "kubectl kubestash logs");
        assert_eq!(followed.code, 0, "{followed:?}");
        let ended = stage.get(ns, "restoresession", &restore).unwrap();
        assert_eq!(ended["status"]["phase"], "Succeeded", "{ended:#}");
        assert_eq!(
            scene.names("restoresession").len(),
            known.len() + 1,
            "one restore was asked for"
        );
    }
    assert_eq!(stage.sh(ns, "data-pod", "cat /data/one").trim(), "one");
}
