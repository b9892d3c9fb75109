use serde_json::json;

use super::*;

fn list() -> Value {
    json!({"kind": "List", "items": [
        {"metadata": {"name": "a", "labels": {"app.io/name": "x"}}, "status": {"phase": "Ready", "size": 3, "ok": true}},
        {"metadata": {"name": "b", "labels": {}}, "status": {"phase": "Failed", "size": 10, "ok": false}},
        {"metadata": {"name": "c"}, "spec": {"list": [1, 2, 3, 4]}},
    ]})
}

fn run(template: &str) -> String {
    Template::parse(template).unwrap().render(&list()).unwrap()
}

#[test]
fn templates_print_what_kubectl_prints() {
    let cases = [
        ("{.items[*].metadata.name}", "a b c"),
        ("{.items[0].metadata.name}", "a"),
        ("{.items[-1].metadata.name}", "c"),
        ("{.items[0:2].metadata.name}", "a b"),
        ("{.items[:1].metadata.name}", "a"),
        ("{.items[::2].metadata.name}", "a c"),
        ("{.items[0,2].metadata.name}", "a c"),
        ("{.items[2].spec.list}", "[1,2,3,4]"),
        ("{.items[2].spec.list[-2:]}", "3 4"),
        ("{.items[0]['metadata.name']}", ""),
        ("{.items[0]['metadata']['name']}", "a"),
        (
            "{.items[0].metadata['name','labels']}",
            "a {\"app.io/name\":\"x\"}",
        ),
        ("{.items[0].metadata.labels.app\\.io/name}", "x"),
        ("{.items[0].metadata.labels['app.io/name']}", "x"),
        ("{.items[?(@.status.phase==\"Ready\")].metadata.name}", "a"),
        ("{.items[?(@.status.phase!='Ready')].metadata.name}", "b"),
        ("{.items[?(@.status.size>=10)].metadata.name}", "b"),
        ("{.items[?(@.status.size<10)].metadata.name}", "a"),
        ("{.items[?(@.status.ok==true)].metadata.name}", "a"),
        ("{.items[?(@.status)].metadata.name}", "a b"),
        ("{.items[?(@.spec.list)].metadata.name}", "c"),
        ("{..phase}", "Ready Failed"),
        ("{.items[0].status.*}", "true Ready 3"),
        ("{.items[*].nothing}", ""),
        ("{$.kind} of {.items[0].metadata.name}!", "List of a!"),
        ("{.kind}{\"\\n\"}", "List\n"),
        (
            "{range .items[*]}{.metadata.name}{\"\\t\"}{.status.phase}{\"\\n\"}{end}",
            "a\tReady\nb\tFailed\nc\t\n",
        ),
        (
            "{range .items[*]}[{.metadata.name}, {.status.size}] {end}",
            "[a, 3] [b, 10] [c, ] ",
        ),
        (
            "{range .items[0:1]}{range .status.*}<{@}>{end}{end}",
            "<true><Ready><3>",
        ),
        (".metadata.name", ".metadata.name"),
    ];
    for (template, wanted) in cases {
        assert_eq!(run(template), wanted, "{template}");
    }
    assert_eq!(
        Template::parse("{@}").unwrap().render(&json!({"a": 1})).unwrap(),
        "{\"a\":1}"
    );
}

#[test]
fn mistakes_are_explained() {
    for (template, part) in [
        ("{.items[*}", "`,` is expected"),
        ("{.items", "a brace is left open"),
        ("{range .items[*]}x", "without `{end}`"),
        ("{end}", "without `{range}`"),
        ("{.items[?(@.a==Ready)]}", "must be quoted"),
        ("{.items[?(@.a==\"x)]}", "left open"),
        ("{metadata.name}", "such as `.metadata.name`"),
        ("{.items[::0]}", "must be positive"),
    ] {
        let error = Template::parse(template).unwrap_err().to_string();
        assert!(error.contains(part), "{template}: {error}");
    }
    let beyond = Template::parse("{.items[9]}")
        .unwrap()
        .render(&list())
        .unwrap_err();
    assert_eq!(beyond.to_string(), "array index out of bounds: index 9, length 3");
}

#[test]
fn bare_paths_are_relaxed() {
    for text in [".metadata.name", "metadata.name", "{.metadata.name}"] {
        let path = Path::parse(text).unwrap();
        assert_eq!(
            path.find(&json!({"metadata": {"name": "a"}})).unwrap(),
            [&json!("a")],
            "{text}"
        );
    }
    assert!(Path::parse("").is_err());
    assert!(Path::parse(".a b").is_err());
}
