//! Answers in their three forms: flags, a YAML file, and the command line that gives them again.
//!
//! A wizard's answers are one struct with clap's and serde's derives, fields in kebab-case: its keys are its flags. The
//! functions here work on any such struct, so that no wizard can have an answer that lacks a flag or the other way round.

use clap::{Args, Command};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::yaml;

/// What was given, as a map by flag; flags that were not given are absent.
pub fn given<A: Serialize>(answers: &A) -> Map<String, Value> {
    let Ok(Value::Object(mut map)) = serde_json::to_value(answers) else {
        return Map::new();
    };
    map.retain(|_, value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(list) => !list.is_empty(),
        _ => true,
    });
    map
}

/// Reads an answers file. Keys are the names of the flags; a list may be written as one value or as a map of `key: value`.
///
/// # Errors
/// A sentence that names the key.
pub fn read<A: DeserializeOwned + Serialize + Default>(text: &str) -> Result<A, String> {
    let value: Value = yaml::from_str(text).map_err(|e| e.to_string())?;
    let Value::Object(file) = value else {
        return Err("it is no map of flags to values".to_owned());
    };
    let mut map = Map::new();
    for (key, value) in file {
        let wrong = |e: serde_json::Error| format!("{key}: {e}");
        let fits = |candidate: &Value| -> Result<A, serde_json::Error> {
            serde_json::from_value(Value::Object(Map::from_iter([(key.clone(), candidate.clone())])))
        };
        let chosen = match fits(&value) {
            Ok(_) => value,
            Err(error) => other_forms(&value)
                .into_iter()
                .find(|form| fits(form).is_ok())
                .ok_or_else(|| wrong(error))?,
        };
        map.insert(key, chosen);
    }
    serde_json::from_value(Value::Object(map)).map_err(|e| e.to_string())
}

/// What else a value could have been meant as: a text, a list of one, a list of `key=value`.
fn other_forms(value: &Value) -> Vec<Value> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match value {
        Value::Object(map) => vec![
            map.iter()
                .map(|(key, value)| Value::String(format!("{key}={}", text(value))))
                .collect(),
        ],
        Value::Array(list) => vec![list.iter().map(|item| Value::String(text(item))).collect()],
        other => vec![
            Value::String(text(other)),
            Value::Array(vec![Value::String(text(other))]),
        ],
    }
}

/// What was given on the command line over what the file says.
pub fn over<A: Serialize + DeserializeOwned + Default>(flags: &A, file: &A) -> A {
    let mut map = given(file);
    map.extend(given(flags));
    serde_json::from_value(Value::Object(map)).unwrap_or_default()
}

/// The command line that gives the answers again, flags in the order of the help, quoted for a shell.
pub fn command_line<A: Serialize + Args>(command: &str, namespace: &str, answers: &A) -> String {
    let map = given(answers);
    let definition = A::augment_args(Command::new("x"));
    let mut words = vec!["kubectl kubestash".to_owned(), command.to_owned()];
    for arg in definition.get_positionals() {
        if let Some(Value::String(text)) = map.get(arg.get_id().as_str()) {
            words.push(quote(text));
        }
    }
    words.push(format!("-n {}", quote(namespace)));
    for arg in definition.get_arguments().filter(|a| !a.is_positional()) {
        let Some(long) = arg.get_long() else { continue };
        match map.get(long) {
            Some(Value::Bool(true)) => words.push(format!("--{long}")),
            Some(Value::Array(list)) => {
                words.extend(
                    list.iter()
                        .map(|item| format!("--{long} {}", quote(&plain(item)))),
                );
            }
            Some(value) => words.push(format!("--{long} {}", quote(&plain(value)))),
            None => {}
        }
    }
    words.join(" ")
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A word as a shell reads it back.
pub fn quote(word: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
    if !word.is_empty() && word.chars().all(safe) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
    #[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
    struct Sample {
        name: Option<String>,
        #[arg(long)]
        schedule: Option<String>,
        #[arg(long)]
        keep_last: Option<i32>,
        #[arg(long)]
        param: Vec<String>,
        #[arg(long)]
        default: bool,
    }

    #[test]
    fn a_file_may_be_written_in_the_natural_way() {
        let read: Sample = read(
            "name: app\nkeep-last: 3\nschedule: \"0 3 * * *\"\nparam: {paths: /a, depth: 2}\ndefault: true\n",
        )
        .unwrap();
        assert_eq!(read.param, ["depth=2", "paths=/a"]);
        assert_eq!((read.keep_last, read.default), (Some(3), true));
        let one: Sample = super::read("param: a=b\n").unwrap();
        assert_eq!(one.param, ["a=b"]);
        let wrong = super::read::<Sample>("schedul: x\n").unwrap_err();
        assert!(
            wrong.contains("unknown field `schedul`") && wrong.contains("schedule"),
            "{wrong}"
        );
        let wrong = super::read::<Sample>("keep-last: many\n").unwrap_err();
        assert!(wrong.starts_with("keep-last: "), "{wrong}");
    }

    #[test]
    fn flags_count_more_than_the_file() {
        let file = Sample {
            name: Some("a".into()),
            keep_last: Some(1),
            ..Sample::default()
        };
        let flags = Sample {
            keep_last: Some(2),
            ..Sample::default()
        };
        let both = over(&flags, &file);
        assert_eq!((both.name.as_deref(), both.keep_last), (Some("a"), Some(2)));
    }

    #[test]
    fn the_command_line_gives_the_same_answers() {
        let answers = Sample {
            name: Some("app".into()),
            schedule: Some("0 3 * * *".into()),
            keep_last: Some(-1),
            param: vec!["paths=/a".into(), "exclude=it's".into()],
            default: true,
        };
        assert_eq!(
            command_line("create backup", "demo", &answers),
            r"kubectl kubestash create backup app -n demo --schedule '0 3 * * *' --keep-last -1 --param paths=/a --param 'exclude=it'\''s' --default"
        );
    }
}
