//! `docs/errors.md` says what the program says: every reason of a condition that means trouble is on it, and every
//! message on it is one of the program's.

use std::collections::BTreeSet;
use std::path::Path;

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The whole text of a folder's sources, with strings that go over several lines joined.
fn sources(name: &str, text: &mut String) {
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(path.to_str().unwrap(), text);
        } else {
            text.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_reason_that_means_trouble_is_on_the_page_and_no_other() {
    let code = read("src/api/conditions.rs");
    let all: BTreeSet<&str> = code
        .split('"')
        .skip(1)
        .step_by(2)
        .filter(|value| value.chars().all(char::is_alphanumeric))
        .collect();
    let trouble = |value: &&str| {
        let words = [
            "Fail",
            "Unable",
            "Terminated",
            "NotAvailable",
            "NotEnsured",
            "NotSatisfied",
            "Cancel",
            "Pending",
            "Already",
        ];
        words.iter().any(|word| value.contains(word))
    };
    let page = read("docs/errors.md");
    let table = page.split("## Reasons in conditions").nth(1).unwrap();
    let told: BTreeSet<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('|').next())
        .flat_map(|cell| cell.split(|c: char| !c.is_alphanumeric()))
        .filter(|word| !word.is_empty())
        .collect();
    // `BackupCancelled` is a type, and so no reason.
    let missing: Vec<&&str> = all
        .iter()
        .filter(|v| trouble(v) && !told.contains(**v) && **v != "BackupCancelled")
        .collect();
    assert!(missing.is_empty(), "docs/errors.md does not have {missing:?}");
    let invented: Vec<&&str> = told.iter().filter(|v| !all.contains(**v)).collect();
    assert!(invented.is_empty(), "no object has {invented:?}");
}

#[test]
fn every_message_on_the_page_is_one_of_the_programs() {
    let page = read("docs/errors.md");
    let plugin = page
        .split("## What the plugin says")
        .nth(1)
        .unwrap()
        .split("\n## ")
        .next()
        .unwrap()
        .to_owned();
    let mut code = String::new();
    for room in ["src/cli", "src/cluster", "src/decide", "src/wizard"] {
        sources(room, &mut code);
    }
    let mut count = 0;
    for heading in plugin.lines().filter_map(|l| l.strip_prefix("### ")) {
        count += 1;
        for part in heading.split('…').map(str::trim).filter(|p| p.len() > 3) {
            assert!(code.contains(part), "the program never says {part:?} ({heading})");
        }
    }
    assert!(count >= 8, "{count} messages");
}
