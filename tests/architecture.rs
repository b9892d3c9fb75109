//! Arrows between rooms point one way, `decide/` stays pure, and only `output/` prints.

use std::fs;
use std::path::{Path, PathBuf};

/// For each room, the rooms it may not name.
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "api",
        &[
            "decide", "operator", "mover", "cli", "reader", "restic", "backend", "cluster", "output",
            "wizard", "sandbox",
        ],
    ),
    (
        "decide",
        &[
            "operator", "mover", "cli", "reader", "restic", "backend", "cluster", "output", "wizard",
            "sandbox",
        ],
    ),
    (
        "restic",
        &[
            "operator", "mover", "cli", "reader", "decide", "cluster", "output", "wizard", "sandbox",
        ],
    ),
    (
        "backend",
        &[
            "operator", "mover", "cli", "reader", "cluster", "output", "wizard", "sandbox",
        ],
    ),
    (
        "mover",
        &[
            "operator", "cli", "reader", "cluster", "output", "wizard", "sandbox",
        ],
    ),
    (
        "operator",
        &["mover", "cli", "reader", "cluster", "output", "wizard", "sandbox"],
    ),
    (
        "output",
        &[
            "operator", "mover", "cli", "reader", "cluster", "wizard", "sandbox",
        ],
    ),
    (
        "sandbox",
        &[
            "api", "decide", "operator", "mover", "cli", "reader", "restic", "backend", "cluster", "wizard",
        ],
    ),
];

/// What a pure decision may not name.
const IMPURE: &[&str] = &[
    "kube::Client",
    "kube::Api",
    "tokio",
    "std::fs",
    "std::env",
    "Timestamp::now",
    "Zoned::now",
    "SystemTime::now",
    "Instant::now",
];

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The code of a file without its comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .filter(|l| !l.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn arrows_between_rooms_point_one_way() {
    let mut wrong = Vec::new();
    for (room, forbidden) in FORBIDDEN {
        let files = sources(&root().join(room));
        assert!(!files.is_empty(), "room {room} has no sources");
        for file in files {
            let text = code(&file);
            for other in *forbidden {
                if text.contains(&format!("crate::{other}::")) || text.contains(&format!("crate::{other};")) {
                    wrong.push(format!("{} names crate::{other}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn decisions_are_pure() {
    let mut wrong = Vec::new();
    for file in sources(&root().join("decide")) {
        let text = code(&file);
        for word in IMPURE {
            if text.contains(word) {
                wrong.push(format!("{} names {word}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_output_prints() {
    let mut wrong = Vec::new();
    for file in sources(&root()) {
        if file.starts_with(root().join("output")) {
            continue;
        }
        let text = code(&file);
        for word in ["println!(", "print!(", "eprintln!(", "eprint!("] {
            if text.contains(word) {
                wrong.push(format!("{} uses {word}…)", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Crates that may not come back: a second TLS stack, a second Kubernetes client, unmaintained or unsound YAML.
const BANNED: &[&str] = &[
    "aws-lc-rs",
    "aws-lc-sys",
    "openssl-sys",
    "native-tls",
    "serde_yaml",
    "serde_yml",
    "libyml",
    "backoff",
    "instant",
    "atty",
];

#[test]
fn one_tls_stack_and_one_kubernetes_client() {
    let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap();
    let names: Vec<_> = lock
        .lines()
        .filter_map(|l| l.strip_prefix("name = "))
        .map(|n| n.trim_matches('"'))
        .collect();
    assert!(names.len() > 100, "the lock file was not understood");
    let found: Vec<_> = names.iter().filter(|n| BANNED.contains(n)).collect();
    assert!(found.is_empty(), "banned crates are in the graph: {found:?}");
    for single in ["kube", "kube-core", "k8s-openapi", "rustls", "jiff"] {
        assert_eq!(
            names.iter().filter(|n| **n == single).count(),
            1,
            "{single} must be there once"
        );
    }
}

/// Kubernetes puts `<SERVICE>_PORT=tcp://…` and the like into every container: a setting of that name would be taken from there.
#[test]
fn no_setting_has_a_name_that_kubernetes_gives_to_services() {
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/operator/services.yaml");
    let services: Vec<_> = fs::read_to_string(manifests)
        .unwrap()
        .lines()
        .filter_map(|l| l.strip_prefix("  name: "))
        .map(|n| n.trim().to_uppercase().replace('-', "_"))
        .collect();
    assert!(services.len() >= 2, "{services:?}");
    for file in sources(&root()) {
        let text = code(&file);
        for service in &services {
            let taken = format!("env = \"{service}_");
            assert!(
                !text.contains(&taken),
                "{}: a setting starts with {service}_",
                file.display()
            );
        }
    }
}
