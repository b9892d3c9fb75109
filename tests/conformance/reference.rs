//! Writes `docs/reference/api.md`: for every kind, a table of its fields.

use super::schema::{child, children, is_free, ours, root, type_of};
use serde_json::Value;
use std::fmt::Write;

/// Structures that several kinds have: their name, and a place where they stand.
const SHARED: &[(&str, &str, &str)] = &[
    ("ObjectReference", "Repository", ".spec.storageRef"),
    ("TypedObjectReference", "Repository", ".spec.appRef"),
    (
        "DependencyReference",
        "BackupConfiguration",
        ".status.dependencies[]",
    ),
    ("Condition", "Repository", ".status.conditions[]"),
    ("UsagePolicy", "BackupStorage", ".spec.usagePolicy"),
    ("AddonInfo", "RestoreSession", ".spec.addon"),
    ("HookInfo", "RestoreSession", ".spec.hooks.preRestore[]"),
    ("HookStatus", "RestoreSession", ".status.hooks"),
    ("Scheduler", "BackupVerifier", ".spec.scheduler"),
    ("RetryConfig", "BackupVerifier", ".spec.retryConfig"),
    (
        "RepositoryInfo",
        "BackupConfiguration",
        ".spec.sessions[].repositories[]",
    ),
    ("Session", "BackupConfiguration", ".spec.sessions[]"),
    ("BackendReference", "BackupConfiguration", ".spec.backends[]"),
    ("PodTemplateSpec", "RestoreSession", ".spec.addon.jobTemplate"),
    ("RuntimeSettings", "BackupStorage", ".spec.runtimeSettings"),
    ("ContainerRuntimeSettings", "Function", ".spec.runtimeSettings"),
    ("ParameterDefinition", "HookTemplate", ".spec.params[]"),
    ("Task", "Addon", ".spec.backupTasks[]"),
    (
        "VolumeSource",
        "Addon",
        ".spec.backupTasks[].volumeTemplate[].source",
    ),
    (
        "VolumeClaimTemplate",
        "Addon",
        ".spec.backupTasks[].volumeTemplate[].source.volumeClaimTemplate",
    ),
    ("DatabaseOptions", "RestoreSession", ".spec.manifestOptions.mySQL"),
];

/// The whole document.
pub(crate) fn write() -> String {
    let kinds = ours();
    let shared: Vec<(&str, &Value)> = SHARED
        .iter()
        .map(|(name, kind, path)| (*name, find(root(&kinds[*kind]), path)))
        .collect();
    let mut text = String::from(
        "# API reference\n\n\
         <!-- Generated from src/api by `UPDATE=1 cargo test --test kubestash generated`; do not edit. -->\n\n\
         Every kind and its fields. `[]` marks the items of a list, `{}` the values of a map. A field without a default\n\
         may be left out unless it is *required*. Types with a link are described under [Shared types](#shared-types);\n\
         *Kubernetes* types are those of a Pod or a Job.\n\n## Kinds\n\n| Kind | Group | Short name | Scope |\n|---|---|---|---|\n",
    );
    let mut order: Vec<&Value> = kinds.values().collect();
    order.sort_by_key(|crd| {
        (
            crd["spec"]["group"].to_string(),
            crd["spec"]["names"]["kind"].to_string(),
        )
    });
    for crd in &order {
        let names = &crd["spec"]["names"];
        let kind = names["kind"].as_str().unwrap();
        let short = names["shortNames"][0]
            .as_str()
            .map(|s| format!("`{s}`"))
            .unwrap_or_default();
        let (group, scope) = (
            crd["spec"]["group"].as_str().unwrap(),
            crd["spec"]["scope"].as_str().unwrap(),
        );
        writeln!(
            text,
            "| [{kind}](#{}) | {group} | {short} | {scope} |",
            kind.to_lowercase()
        )
        .unwrap();
    }
    for crd in &order {
        kind(crd, &shared, &mut text);
    }
    text.push_str("\n## Shared types\n");
    for (name, schema) in &shared {
        write!(text, "\n### {name}\n\n").unwrap();
        about(schema, &mut text);
        table(schema, "", &shared, &mut text);
    }
    text
}

/// The node at a path such as `.spec.sessions[].addon`.
fn find<'a>(schema: &'a Value, path: &str) -> &'a Value {
    let spaced = path.replace("[]", ".[]");
    spaced
        .split('.')
        .filter(|step| !step.is_empty())
        .fold(schema, |node, step| {
            child(node, step).unwrap_or_else(|| panic!("{path}: no {step}"))
        })
}

fn kind(crd: &Value, shared: &[(&str, &Value)], text: &mut String) {
    let names = &crd["spec"]["names"];
    let schema = root(crd);
    write!(text, "\n## {}\n\n", names["kind"].as_str().unwrap()).unwrap();
    about(schema, text);
    writeln!(
        text,
        "`apiVersion: {}/{}`, `kubectl get {}`\n",
        crd["spec"]["group"].as_str().unwrap(),
        crd["spec"]["versions"][0]["name"].as_str().unwrap(),
        names["plural"].as_str().unwrap()
    )
    .unwrap();
    rules(&schema["properties"]["spec"], text);
    table(schema, "", shared, text);
}

fn about(schema: &Value, text: &mut String) {
    if let Some(description) = schema["description"].as_str() {
        write!(text, "{}\n\n", one_line(description)).unwrap();
    }
}

/// The rules at and directly below a spec, in words.
fn rules(schema: &Value, text: &mut String) {
    let mut found = Vec::new();
    collect_rules(schema, "spec", &mut found);
    if !found.is_empty() {
        text.push_str("Refused by the API server unless:\n\n");
        for (path, message) in found {
            writeln!(text, "- `{path}`: {message}").unwrap();
        }
        text.push('\n');
    }
}

fn collect_rules(schema: &Value, path: &str, found: &mut Vec<(String, String)>) {
    for rule in schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
    {
        found.push((path.to_owned(), rule["message"].as_str().unwrap().to_owned()));
    }
    for (step, inner) in children(schema) {
        collect_rules(inner, &format!("{path}{step}"), found);
    }
}

fn table(schema: &Value, prefix: &str, shared: &[(&str, &Value)], text: &mut String) {
    text.push_str("| Field | Type | Default | Meaning |\n|---|---|---|---|\n");
    rows(schema, prefix, shared, text);
}

fn rows(schema: &Value, prefix: &str, shared: &[(&str, &Value)], text: &mut String) {
    for (step, field) in children(schema) {
        let path = format!("{prefix}{step}");
        // A list or map and what is in it share a row, so go down to the first node with a name of its own.
        let (mut inner, mut marks) = (field, String::new());
        while let Some((step, below)) = children(inner)
            .into_iter()
            .find(|(step, _)| !step.starts_with('.'))
        {
            inner = below;
            marks.push_str(&step);
        }
        let (name, expand) = type_name(inner, shared);
        let required = schema["required"]
            .as_array()
            .is_some_and(|names| names.iter().any(|name| name.as_str() == Some(&step[1..])));
        let default = match (&field["default"], required) {
            (Value::Null, true) => "*required*".to_owned(),
            (Value::Null, false) => String::new(),
            (Value::String(word), _) => format!("`{word}`"),
            (other, _) => format!("`{other}`"),
        };
        let meaning = one_line(field["description"].as_str().unwrap_or_default());
        writeln!(
            text,
            "| `{}` | {name}{marks} | {default} | {meaning} |",
            path.trim_start_matches('.')
        )
        .unwrap();
        if expand {
            rows(inner, &format!("{path}{marks}"), shared, text);
        }
    }
}

/// What to call a type, and whether its fields get rows of their own.
fn type_name(schema: &Value, shared: &[(&str, &Value)]) -> (String, bool) {
    if let Some((name, _)) = shared.iter().find(|(_, other)| alike(schema, other)) {
        return (format!("[{name}](#{})", name.to_lowercase()), false);
    }
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<String> = words
            .iter()
            .map(|word| format!("`{}`", word.as_str().unwrap_or_default()))
            .collect();
        return (words.join(" or "), false);
    }
    let fields = children(schema);
    let own = fields.iter().any(|(_, field)| field["description"].is_string());
    match type_of(schema) {
        "object" if is_free(schema) => ("free object".to_owned(), false),
        "object" if !fields.is_empty() && !own => ("Kubernetes".to_owned(), false),
        "object" => ("object".to_owned(), true),
        "string" if schema["format"] == "date-time" => ("time".to_owned(), false),
        "string" if schema["pattern"].is_string() => ("duration".to_owned(), false),
        other => (other.to_owned(), false),
    }
}

/// Whether two nodes are the same type: what they are for may be said differently.
fn alike(a: &Value, b: &Value) -> bool {
    a["properties"].is_object() && a["properties"] == b["properties"] && a["required"] == b["required"]
}

fn one_line(text: &str) -> String {
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
}
