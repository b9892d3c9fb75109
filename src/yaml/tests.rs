use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn value(text: &str) -> Value {
    documents(text).unwrap().remove(0).value
}

#[test]
fn plain_scalars_mean_what_kubectl_takes_them_for() {
    let cases = [
        ("yes", json!(true)),
        ("y", json!(true)),
        ("On", json!(true)),
        ("off", json!(false)),
        ("n", json!(false)),
        ("~", json!(null)),
        ("1_000", json!(1000)),
        ("012", json!(10)),
        ("0o14", json!(12)),
        ("0x1F", json!(31)),
        ("089", json!(89)),
        ("-7", json!(-7)),
        ("1e3", json!(1000)),
        ("1.5", json!(1.5)),
        (".5", json!(0.5)),
        ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
        ("12:30:45", json!("12:30:45")),
        ("2024-01-02", json!("2024-01-02")),
        ("1.2.3", json!("1.2.3")),
        ("1h30m", json!("1h30m")),
        ("\"yes\"", json!("yes")),
        ("'012'", json!("012")),
        ("!!str yes", json!("yes")),
    ];
    for (text, wanted) in cases {
        assert_eq!(value(&format!("k: {text}\n"))["k"], wanted, "{text}");
    }
    assert_eq!(value("1: a\ntrue: b\n"), json!({"1": "a", "true": "b"}));
}

#[test]
fn every_field_has_a_place() {
    let text = "# head\n---\nkind: A\nspec:\n  list:\n  - name: x\n  - {name: y}\n---\nkind: B\n";
    let found = documents(text).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].start, Place { line: 3, column: 1 });
    assert_eq!(found[0].place("/spec/list/0/name"), Place { line: 6, column: 5 });
    assert_eq!(found[0].place("/spec/list/1/name"), Place { line: 7, column: 6 });
    assert_eq!(
        found[0].place("/spec/list/1/missing/deep"),
        Place { line: 7, column: 5 }
    );
    assert_eq!(found[0].place("/status"), Place { line: 3, column: 1 });
    assert_eq!(found[1].place("/kind"), Place { line: 9, column: 1 });
}

#[test]
fn empty_documents_are_left_out() {
    assert!(documents("---\n# nothing\n---\n").unwrap().is_empty());
    assert!(documents("").unwrap().is_empty());
    assert!(matches!(from_str::<Value>(""), Err(Error::Shape(_))));
    assert!(matches!(from_str::<Value>("a: 1\n---\nb: 2\n"), Err(Error::Shape(m)) if m.contains("holds 2")));
}

#[test]
fn mistakes_have_a_place() {
    let twice = documents("a: 1\nb: 2\na: 3\n").unwrap_err();
    assert_eq!(
        twice.to_string(),
        "line 3, column 1: key \"a\" is set twice in the same mapping"
    );
    assert!(matches!(
        documents("a: [1, 2\n").unwrap_err(),
        Error::Syntax { .. }
    ));
    let tab = documents("a:\n\tb: 1\n").unwrap_err();
    assert!(
        matches!(
            tab,
            Error::Syntax {
                place: Place { line: 2, .. },
                ..
            }
        ),
        "{tab}"
    );
}

#[test]
fn anchors_and_merge_keys_are_expanded() {
    let text = "base: &b {x: 1, z: 2}\nuse:\n  <<: *b\n  z: 3\nagain: *b\n";
    assert_eq!(
        value(text),
        json!({"base": {"x": 1, "z": 2}, "use": {"x": 1, "z": 3}, "again": {"x": 1, "z": 2}})
    );
}

#[test]
fn bombs_are_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..10 {
        let items = vec![format!("*a{}", i - 1); 10].join(", ");
        text.push_str(&format!("a{i}: &a{i} [{items}]\n"));
    }
    assert!(
        documents(&text)
            .unwrap_err()
            .to_string()
            .contains("unreasonable size")
    );
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    assert!(documents(&deep).is_err());
}

#[test]
fn strings_that_look_like_something_else_are_quoted() {
    for text in [
        "yes",
        "y",
        "on",
        "off",
        "n",
        "1_000",
        "012",
        "1e3",
        "true",
        "null",
        "~",
        "",
        "0x1f",
        "- a",
        "a: b",
        "#c",
        "2024-01-02",
    ] {
        let written = to_string(&json!({"k": text})).unwrap();
        assert_eq!(value(&written)["k"], json!(text), "{written}");
    }
    for text in ["yes", "on", "off", "1_000", "012"] {
        let written = to_string(&json!({"k": text})).unwrap();
        assert!(written.contains('"') || written.contains('\''), "{written}");
    }
}

#[test]
fn the_look_is_kubectls() {
    let object = json!({"spec": {"list": [{"a": 1, "b": "text"}, "c"], "script": "one\ntwo\n", "none": {}, "nil": []}});
    assert_eq!(
        to_string(&object).unwrap(),
        "spec:\n  list:\n  - a: 1\n    b: text\n  - c\n  nil: []\n  none: {}\n  script: |\n    one\n    two\n"
    );
    let long = "word ".repeat(60);
    assert_eq!(to_string(&json!({"k": long.trim()})).unwrap().lines().count(), 1);
    assert_eq!(
        to_string_multi(&[json!({"a": 1}), json!({"b": 2})]).unwrap(),
        "a: 1\n---\nb: 2\n"
    );
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~\\n\\té]{0,24}".prop_map(Value::from),
        "(yes|no|on|off|y|n|0[0-9_]{1,4}|[0-9_]{1,6}|1e[0-9]|\\.[0-9]|0x[0-9a-f]{1,3})".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map("[a-z0-9._/~ -]{1,8}", inner, 0..6)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(value in any_value()) {
        let wrapped = json!({"v": value});
        let written = to_string(&wrapped).unwrap();
        let read = documents(&written).unwrap().remove(0).value;
        prop_assert_eq!(read, wrapped, "{}", written);
    }
}
