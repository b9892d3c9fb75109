//! Words and numbers in cells.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::object;

/// How long ago a time was, as kubectl writes it.
pub(super) fn age(time: &str) -> String {
    match time.parse::<Timestamp>() {
        Ok(then) => duration(Timestamp::now().as_second() - then.as_second()),
        Err(_) => "<unknown>".to_owned(),
    }
}

/// Seconds as kubectl writes a length of time.
pub(super) fn duration(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    let pair = |a: i64, unit: &str, b: i64, small: &str| {
        if b == 0 {
            format!("{a}{unit}")
        } else {
            format!("{a}{unit}{b}{small}")
        }
    };
    match seconds {
        s if s < -1 => "<invalid>".to_owned(),
        s if s < 0 => "0s".to_owned(),
        s if s < 120 => format!("{s}s"),
        s if s < 600 => pair(minutes, "m", s % 60, "s"),
        s if s < 10_800 => format!("{minutes}m"),
        s if s < 28_800 => pair(hours, "h", minutes % 60, "m"),
        s if s < 172_800 => format!("{hours}h"),
        s if s < 691_200 => pair(days, "d", hours % 24, "h"),
        _ if days < 365 * 2 => format!("{days}d"),
        _ if days < 365 * 8 => pair(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

/// The age of an object.
pub(super) fn born(object: &Value) -> Value {
    match object::text(object, &["metadata", "creationTimestamp"]) {
        "" => json!("<unknown>"),
        time => json!(age(time)),
    }
}

/// Text, or `<none>`.
pub(super) fn or_none(text: &str) -> Value {
    json!(if text.is_empty() { "<none>" } else { text })
}

/// A number at a path; 0 if absent.
pub(super) fn number(object: &Value, path: &[&str]) -> i64 {
    object::at(object, path).and_then(Value::as_i64).unwrap_or(0)
}

/// A label selector in one line.
pub(super) fn selector(value: &Value) -> Value {
    let map = if value["matchLabels"].is_object() {
        &value["matchLabels"]
    } else {
        value
    };
    or_none(&pairs(map))
}

/// A map as `a=b,c=d`.
pub(super) fn pairs(map: &Value) -> String {
    let list: Vec<String> = map
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(k, v)| Some(format!("{k}={}", v.as_str()?)))
        .collect();
    list.join(",")
}

/// Names and images of a template's containers.
pub(super) fn containers(spec: &Value) -> (String, String) {
    let list = object::list(spec, &["containers"]);
    let join = |field: &str| {
        list.iter()
            .map(|c| object::text(c, &[field]))
            .collect::<Vec<_>>()
            .join(",")
    };
    (join("name"), join("image"))
}
