//! Looking into snapshots: two real backups of a volume with every awkward kind of file, asked in every way there is.

mod changes;
mod download;
mod interrupted;
mod questions;
mod workloads;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::stage::{Scene, Stage, program};

/// Type, mode, owner, time, link target and content of everything below a directory, by tools that say the same on every
/// system. Two trees are equal when these texts are. `$2` leaves owners out for those who may not give files away.
const PORTRAIT: &str = r#"cd "$1" && LC_ALL=C && export LC_ALL && form='%n|%f|%u|%g|%Y' && { [ "$2" = owned ] || form='%n|%f|%Y'; } && {
find . -path ./lost+found -prune -o -exec stat -c "$form" {} +
find . -type l -exec sh -c 'for f; do printf "%s -> %s\n" "$f" "$(readlink "$f")"; done' sh {} +
find . -path ./lost+found -prune -o -type f -exec sh -c 'for f; do printf "%s %s\n" "$(sha256sum < "$f")" "$f"; done' sh {} +
} | sort"#;

/// The target of every configuration here.
const TARGET: &str = "{apiGroup: '', kind: PersistentVolumeClaim, name: data}";
/// Where the volume is in a backup.
const TOP: &str = "kubestash-data";

/// What a program said, byte for byte.
struct Raw {
    code: i32,
    out: Vec<u8>,
    err: String,
}

impl Raw {
    #[track_caller]
    fn ok(self) -> Vec<u8> {
        assert_eq!(
            self.code,
            0,
            "stdout: {}\nstderr: {}",
            String::from_utf8_lossy(&self.out),
            self.err
        );
        self.out
    }
}

/// The plugin with arguments that may be any bytes; its cache lies in a directory of ours.
fn command(scene: &Scene, cache: &Path, args: &[&[u8]]) -> Command {
    let mut command = Command::new(program());
    command
        .env("KUBECONFIG", &scene.stage.kubeconfig)
        .env("NO_COLOR", "1")
        .env("XDG_CACHE_HOME", cache)
        .stdin(Stdio::null())
        .args(["snapshot"])
        .args(args.iter().map(|a| OsStr::from_bytes(a)))
        .args(["-n", &scene.namespace]);
    command
}

/// A scenario with its cache directory and, where it is `local`, the flag that leaves the reader out.
struct Looker<'s> {
    scene: &'s Scene,
    dir: tempfile::TempDir,
    local: bool,
}

impl<'s> Looker<'s> {
    fn new(scene: &'s Scene, local: bool) -> Self {
        Looker {
            scene,
            dir: tempfile::tempdir().unwrap(),
            local,
        }
    }

    fn raw(&self, args: &[&[u8]]) -> Raw {
        let mut command = command(self.scene, self.dir.path(), args);
        if self.local {
            command.arg("--local");
        }
        let output = command.output().unwrap();
        Raw {
            code: output.status.code().unwrap_or(-1),
            out: output.stdout,
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    fn asked(&self, args: &[&str]) -> Raw {
        let args: Vec<&[u8]> = args.iter().map(|a| a.as_bytes()).collect();
        self.raw(&args)
    }

    #[track_caller]
    fn text(&self, args: &[&str]) -> String {
        String::from_utf8(self.asked(args).ok()).unwrap()
    }

    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        let mut args = args.to_vec();
        args.extend(["-o", "json"]);
        serde_json::from_slice(&self.asked(&args).ok()).unwrap()
    }

    /// A directory for a download, that does not exist yet.
    fn to(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }
}

fn owned() -> &'static str {
    let root = Command::new("id").arg("-u").output().unwrap();
    if root.stdout == b"0\n" { "owned" } else { "plain" }
}

/// The portrait of a directory of this machine.
#[track_caller]
fn portrait(dir: &str) -> String {
    let output = Command::new("sh")
        .args(["-c", PORTRAIT, "sh", dir, owned()])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    told(&output.stdout)
}

/// The portrait of a directory in a pod.
#[track_caller]
fn portrait_in(scene: &Scene, pod: &str, dir: &str) -> String {
    let output = Command::new("kubectl")
        .env("KUBECONFIG", &scene.stage.kubeconfig)
        .args([
            "exec",
            "-n",
            &scene.namespace,
            pod,
            "--",
            "sh",
            "-c",
            PORTRAIT,
            "sh",
            dir,
            owned(),
        ])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    told(&output.stdout)
}

fn told(bytes: &[u8]) -> String {
    let text = bytes.escape_ascii().to_string().replace("\\n", "\n");
    assert!(
        text.lines().count() > 10,
        "an empty portrait proves nothing: {text}"
    );
    text
}

/// The awkward files, and for each what makes it so.
fn fill(scene: &Scene) {
    scene.stage.sh(
        &scene.namespace,
        "data-pod",
        r#"set -e; umask 022; cd /data; mkdir -p deep/er/still "with space" empty many
echo hello > plain; : > nothing; printf 'x\0y\377\r\n' > binary; echo readable > private; chmod 0444 private; chmod 1777 empty
i=0; while [ $i -lt 300 ]; do echo "file $i" > many/f$i; i=$((i+1)); done
dd if=/dev/urandom of=big bs=1048576 count=40 2>/dev/null
dd if=/dev/null of=sparse bs=1 seek=8388608 2>/dev/null; printf end >> sparse
echo odd > "with space/$(printf 'new\nline')"; echo umlaut > "with space/ä'\"*"; echo back > 'with space/b\ck[1]?'
echo bad > "$(printf 'bad\377\376name')"; mkdir "$(printf 'dir\351')"; echo in > "$(printf 'dir\351/in\200')"
ln -s ../plain deep/link; ln -s /nowhere dangling; ln -s /etc outside; ln plain hard
echo set > setuid; chmod 4755 setuid; chown 1234:4321 many/f1; chown -h 12:34 dangling
echo v1 > deep/er/app.yaml; echo same > deep/er/same.yaml; echo going > gone
touch -d '2001-02-03 04:05:06' plain many/f2; touch -d '1999-12-31 23:59:58' deep"#,
    );
}

/// What happens between the two backups.
fn change(scene: &Scene) {
    scene.stage.sh(
        &scene.namespace,
        "data-pod",
        "set -e; cd /data; echo version two > deep/er/app.yaml; rm gone; echo new > deep/er/added; chmod 0600 many/f3; chmod 0644 many/f3; chmod 0755 many/f4",
    );
}

/// Two Snapshots of the volume, the older first.
fn twice(stage: &'static Stage, name: &str) -> (Scene, String, String) {
    let scene = stage.scene(name);
    scene.storage();
    scene.volume("data");
    fill(&scene);
    scene.configuration("look", TARGET, "pvc-addon", "{}");
    scene.first_backup("look");
    change(&scene);
    let said = scene.backup_now("look");
    assert_eq!(said.code, 0, "{said:?}");
    let names: Vec<String> = scene
        .snapshots("look-repo")
        .iter()
        .map(|s| s["metadata"]["name"].as_str().unwrap().to_owned())
        .collect();
    let [old, new] = names.as_slice() else {
        panic!("two Snapshots, not {names:?}")
    };
    let (old, new) = (old.clone(), new.clone());
    (scene, old, new)
}

/// Readers of the scenario's Repository.
fn readers(scene: &Scene) -> Vec<Value> {
    scene.stage.list(
        &scene.namespace,
        "pod",
        "app.kubernetes.io/component=kubestash-reader",
    )
}
