//! Every field of the published definitions exists in ours, with the same type.

use super::documents::directory;
use super::schema::{child, children, is_free, ours, root, type_of};
use serde_json::Value;
use std::fs;

/// Differences that are meant: the end of the path, what differs, and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

/// The published definitions, by file name.
fn published(test: &str) -> Option<Vec<(String, Value)>> {
    let root = directory(test)?.join("crds");
    let mut found = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "yaml") {
            let crd = kubestash::yaml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            found.push((path.file_name().unwrap().to_string_lossy().into_owned(), crd));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(found.len(), 14);
    Some(found)
}

#[test]
fn every_published_field_exists_with_its_type() {
    let Some(published) = published("every_published_field_exists_with_its_type") else {
        return;
    };
    let ours = ours();
    let mut differences = Vec::new();
    let mut used = vec![false; EXCEPTIONS.len()];
    for (_, theirs) in &published {
        let kind = theirs["spec"]["names"]["kind"].as_str().unwrap();
        let mine = ours.get(kind).unwrap_or_else(|| panic!("{kind} is missing"));
        for part in [".spec", ".status"] {
            if let Some(theirs) = child(root(theirs), part) {
                match child(root(mine), part) {
                    Some(mine) => compare(theirs, mine, &format!("{kind}{part}"), &mut differences),
                    None => differences.push((format!("{kind}{part}"), "is missing".to_owned())),
                }
            }
        }
    }
    differences.retain(|(path, difference)| {
        let excused = EXCEPTIONS
            .iter()
            .position(|(end, what, _)| path.ends_with(end) && difference.starts_with(what));
        if let Some(number) = excused {
            used[number] = true;
        }
        excused.is_none()
    });
    assert!(
        differences.is_empty(),
        "{} differences: {differences:#?}",
        differences.len()
    );
    for (number, used) in used.iter().enumerate() {
        assert!(used, "this exception is not needed: {:?}", EXCEPTIONS[number]);
    }
}

/// Walks the published schema beside ours and notes what ours lacks.
fn compare(theirs: &Value, mine: &Value, path: &str, differences: &mut Vec<(String, String)>) {
    let mut note = |what: String| differences.push((path.to_owned(), what));
    if type_of(theirs) != type_of(mine) {
        note(format!("type {} instead of {}", type_of(mine), type_of(theirs)));
        return;
    }
    if type_of(theirs) != "object" && !theirs["format"].is_null() && theirs["format"] != mine["format"] {
        note(format!(
            "format {} instead of {}",
            mine["format"], theirs["format"]
        ));
    }
    for key in ["default", "minimum", "x-kubernetes-map-type"] {
        // Nodes without a description are in Kubernetes' own types: their defaults are applied when a pod is made.
        if mine["description"].is_string() && !theirs[key].is_null() && !alike(&theirs[key], &mine[key]) {
            note(format!("{key} {} instead of {}", mine[key], theirs[key]));
        }
    }
    if is_free(theirs) != is_free(mine) {
        note(format!("keeps unknown fields: {}", is_free(mine)));
    }
    for word in theirs["enum"].as_array().into_iter().flatten() {
        if !mine["enum"].as_array().is_some_and(|words| words.contains(word)) {
            note(format!("enum lacks {word}"));
        }
    }
    let is_ours = children(mine)
        .iter()
        .any(|(_, inner)| inner["description"].is_string());
    for name in mine["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|_| is_ours)
    {
        if !theirs["required"]
            .as_array()
            .is_some_and(|names| names.contains(name))
        {
            note(format!("required {name}"));
        }
    }
    for (step, theirs) in children(theirs) {
        let path = format!("{path}{step}");
        match child(mine, &step) {
            Some(mine) => compare(theirs, mine, &path, differences),
            None => differences.push((path, "is missing".to_owned())),
        }
    }
}

/// Equal, numbers by value: ours are written as `1.0`.
fn alike(theirs: &Value, mine: &Value) -> bool {
    theirs == mine || (theirs.is_number() && theirs.as_f64() == mine.as_f64())
}

#[test]
fn names_scopes_and_columns_are_the_published_ones() {
    let Some(published) = published("names_scopes_and_columns_are_the_published_ones") else {
        return;
    };
    let ours = ours();
    for (file, theirs) in &published {
        let kind = theirs["spec"]["names"]["kind"].as_str().unwrap();
        let mine = &ours[kind];
        assert_eq!(
            *file,
            format!(
                "{}_{}.yaml",
                mine["spec"]["group"].as_str().unwrap(),
                mine["spec"]["names"]["plural"].as_str().unwrap()
            )
        );
        assert_eq!(mine["metadata"]["labels"], theirs["metadata"]["labels"], "{kind}");
        assert_eq!(mine["metadata"]["name"], theirs["metadata"]["name"], "{kind}");
        for key in ["group", "scope"] {
            assert_eq!(mine["spec"][key], theirs["spec"][key], "{kind}");
        }
        for key in ["plural", "singular", "shortNames", "categories"] {
            assert_eq!(
                mine["spec"]["names"][key], theirs["spec"]["names"][key],
                "{kind}: {key}"
            );
        }
        let (mine, theirs) = (&mine["spec"]["versions"][0], &theirs["spec"]["versions"][0]);
        for key in ["name", "served", "storage", "additionalPrinterColumns"] {
            assert_eq!(mine[key], theirs[key], "{kind}: {key}");
        }
        let has_status = |version: &Value| version["subresources"]["status"].is_object();
        assert_eq!(has_status(mine), has_status(theirs), "{kind}: status subresource");
    }
}
