//! Go templates in commands, bodies and forms, over what is known about the session.
//!
//! The part of the language that hooks are written in: fields, variables, literals, pipes, parentheses, functions, comments,
//! trimmed blanks, `if`, `with` and `range`. [`parse`] makes the tree, [`evaluate`] works it out.

mod evaluate;
mod parse;

use serde_json::{Value, json};

use crate::api::config::job_plan::HookSummary;
use crate::api::shared::{Handler, TypedObjectReference};

use super::super::job::Failure;
use super::misconfigured;

/// The action with its command, its body and its form rendered.
pub(super) fn render(action: &Handler, summary: &HookSummary) -> Result<Handler, Failure> {
    let mut action = action.clone();
    let data = data(summary);
    let texts = action
        .exec
        .iter_mut()
        .flat_map(|exec| exec.command.iter_mut().flatten());
    for text in texts {
        *text = text_of(text, &data)?;
    }
    if let Some(post) = action.http_post.as_mut() {
        if let Some(body) = post.body.as_mut() {
            *body = text_of(body, &data)?;
        }
        for value in post.form.iter_mut().flat_map(|entry| entry.values.iter_mut()) {
            *value = text_of(value, &data)?;
        }
    }
    Ok(action)
}

fn text_of(text: &str, data: &Value) -> Result<String, Failure> {
    parse::parse(text)
        .and_then(|nodes| evaluate::text(&nodes, data))
        .map_err(|why| {
            misconfigured(&format!(
                "the template {text:?} in the HookTemplate cannot be rendered: {why}"
            ))
        })
}

/// The summary under the names that it has in JSON; fields are found by Go's names, too ([`evaluate`]).
fn data(summary: &HookSummary) -> Value {
    json!({
        "name": summary.name,
        "namespace": summary.namespace,
        "invoker": reference(&summary.invoker),
        "target": reference(&summary.target),
        "status": {
            "phase": summary.status.phase,
            "duration": summary.status.duration,
            "error": summary.status.error,
        },
    })
}

fn reference(reference: &TypedObjectReference) -> Value {
    json!({
        "apiGroup": reference.group(),
        "kind": reference.kind(),
        "namespace": reference.namespace.clone().unwrap_or_default(),
        "name": reference.name,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn summary() -> HookSummary {
        serde_json::from_value(json!({"name": "bc-daily-1", "namespace": "demo",
            "invoker": {"apiGroup": "core.kubestash.com", "kind": "BackupConfiguration", "namespace": "demo", "name": "bc"},
            "target": {"apiGroup": "apps", "kind": "StatefulSet", "namespace": "demo", "name": "db"},
            "status": {"phase": "Failed", "duration": "1m2s", "error": "it said \"no\""}}))
        .unwrap()
    }

    fn command(text: &str) -> Result<String, Failure> {
        let action = serde_json::from_value(json!({"exec": {"command": [text]}})).unwrap();
        let rendered = render(&action, &summary())?;
        Ok(rendered.exec.unwrap().command.unwrap().remove(0))
    }

    #[test]
    fn what_the_published_examples_use_is_rendered() {
        for (text, expected) in [
            ("plain ${x} } }}", "plain ${x} } }}"),
            (
                "{{ .Name }} of {{.Invoker.Kind}}/{{ .Invoker.Name }}: {{ .Status.Phase }}",
                "bc-daily-1 of BackupConfiguration/bc: Failed",
            ),
            (
                "{{ if eq .Status.Phase \"Succeeded\" }}good{{ else }}bad{{ end }}",
                "bad",
            ),
            ("{{ printf \"%s/%s\" .Namespace .Target.Name }}", "demo/db"),
            (
                "{{ dict \"text\" .Status.Error | toJson }}",
                r#"{"text":"it said \"no\""}"#,
            ),
            (
                "{{ toJson .Status }}",
                r#"{"duration":"1m2s","error":"it said \"no\"","phase":"Failed"}"#,
            ),
            ("{{ .Status.Phase | lower }}", "failed"),
            ("a {{- /* a word */ -}} b", "ab"),
            ("a {{- .Namespace -}}\n b", "ademob"),
            (
                "{{if and (eq .Namespace `demo`) (ne .Status.Error \"\")}}x{{else if .Name}}y{{end}}",
                "x",
            ),
            (
                "{{ if not .Status.Error }}x{{ else if eq .Status.Phase \"Failed\" \"Odd\" }}y{{ end }}",
                "y",
            ),
            (
                "{{ \"\" | default \"none\" }}{{ quote \"a\\\"b\" }}{{ len .Name }}",
                "none\"a\\\"b\"10",
            ),
            (
                "{{ with .Status.Error }}why: {{ . }} of {{ $.Name }}{{ else }}fine{{ end }}",
                "why: it said \"no\" of bc-daily-1",
            ),
            ("{{ with $p := .Status.Phase }}{{ $p }}{{ end }}", "Failed"),
            (
                "{{ with \"\" }}x{{ else with .Name }}{{ . }}{{ end }}",
                "bc-daily-1",
            ),
            (
                "{{ range $k, $v := .Target }}{{ $k }}={{ $v }};{{ end }}",
                "apiGroup=apps;kind=StatefulSet;name=db;namespace=demo;",
            ),
            (
                "{{ range $i, $x := list \"a\" \"b=c\" }}{{ if $i }}, {{ end }}{{ . }}{{ $x | upper }}{{ end }}",
                "aA, b=cB=C",
            ),
            ("{{ range list }}x{{ else }}none{{ end }}", "none"),
            (
                "{{ $all := \"\" }}{{ range list 1 2 }}{{ $all = print $all . }}{{ end }}{{ $all }}",
                "12",
            ),
            (
                "{{ $t := .Target }}{{ $t.Kind }}/{{ index .Invoker \"name\" }}",
                "StatefulSet/bc",
            ),
            (
                "{{ printf \"%q %v %d%%\" .Name true 7 }}",
                "\"bc-daily-1\" true 7%",
            ),
        ] {
            assert_eq!(command(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_rendered_is_shown() {
        let failure = command("{{ .Name ").unwrap_err();
        assert!(
            failure.message.contains("{{ .Name") && failure.message.contains("HookTemplate"),
            "{}",
            failure.message
        );
        for wrong in [
            "{{ nosuch .Name }}",
            "{{ .Nosuch }}",
            "{{ if .Name }}open",
            "{{ end }}",
            "{{ else }}",
            "{{ }}",
            "{{ \"open }}",
            "{{ (.Name }}",
            "{{ .Name | }}",
            "{{ range .Name }}{{ end }}",
            "{{ range list 1 }}open",
            "{{ range list 1 }}{{ else }}{{ else }}{{ end }}",
            "{{ with .Name }}{{ $x := . }}{{ end }}{{ $x }}",
            "{{ $x = 1 }}",
            "{{ $a, $b := .Target }}",
            "{{ template \"x\" }}",
            "{{ $ := 1 }}",
        ] {
            assert!(command(wrong).is_err(), "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics_or_hangs(text in "[{}\\-.|()\"`$:=,a-z A-Z/*%0-9\n]{0,40}") {
            let _ = command(&text);
            let _ = command(&format!("{{{{{text}}}}}"));
        }
    }

    #[test]
    fn bodies_and_forms_are_rendered_too() {
        let action = serde_json::from_value(json!({"httpPost": {"port": 80, "body": "{{ .Name }}", "form": [{"key": "k", "values": ["{{ .Status.Phase }}"]}]}})).unwrap();
        let post = render(&action, &summary()).unwrap().http_post.unwrap();
        assert_eq!(
            (post.body.as_deref(), post.form[0].values[0].as_str()),
            (Some("bc-daily-1"), "Failed")
        );
    }
}
