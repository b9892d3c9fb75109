use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::*;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/schemas")
}

#[test]
fn the_files_are_current() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut names = BTreeSet::new();
    for published in ALL {
        let name = format!("{}.json", published.command);
        assert!(names.insert(name.clone()), "{name} is published twice");
        let text = format!("{}\n", serde_json::to_string_pretty(&published.schema()).unwrap());
        let path = directory().join(&name);
        if update {
            std::fs::write(&path, &text).unwrap();
        }
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            there == text,
            "docs/reference/schemas/{name} is not current: UPDATE=1 cargo test --lib schemas"
        );
    }
    for entry in std::fs::read_dir(directory()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            names.contains(&name) || !name.ends_with(".json"),
            "{name} is of no command"
        );
    }
}

/// Commands whose shape is still to be published; the list only gets shorter.
const OWING: &[&str] = &[];

#[test]
fn every_command_with_an_output_format_has_a_schema() {
    fn walk(command: &clap::Command, path: &str, missing: &mut Vec<String>) {
        for sub in command.get_subcommands().filter(|c| !c.is_hide_set()) {
            let path = if path.is_empty() {
                sub.get_name().to_owned()
            } else {
                format!("{path}-{}", sub.get_name())
            };
            let formats = sub.get_arguments().any(|a| a.get_id() == "output");
            if formats && !ALL.iter().any(|p| p.command == path) && !OWING.contains(&path.as_str()) {
                missing.push(path.clone());
            }
            walk(sub, &path, missing);
        }
    }
    let mut missing = Vec::new();
    walk(&crate::cli::definition(), "", &mut missing);
    assert!(missing.is_empty(), "publish in cli::schemas::ALL: {missing:?}");
}

#[test]
fn every_field_is_described() {
    fn check(at: &str, schema: &Value, wrong: &mut Vec<String>) {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            return;
        };
        for (name, field) in properties {
            if !["apiVersion", "kind"].contains(&name.as_str())
                && field.get("description").is_none()
                && field.get("const").is_none()
            {
                wrong.push(format!("{at}.{name}"));
            }
        }
    }
    let mut wrong = Vec::new();
    for published in ALL.iter().filter(|p| matches!(p.shape, Source::View(_))) {
        let schema = published.schema();
        check(published.command, &schema, &mut wrong);
        for (name, part) in schema["$defs"].as_object().into_iter().flatten() {
            check(&format!("{} {name}", published.command), part, &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "fields without a description: {wrong:?}");
}
