//! Names for new objects: what Kubernetes takes, and what is not taken yet.

/// Why a text is no name of an object (a DNS-1123 label: it also becomes part of the names of Jobs).
///
/// # Errors
/// One sentence without its period.
pub fn check(text: &str) -> Result<(), String> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if text.is_empty() {
        return Err("a name is needed".to_owned());
    }
    if text.len() > 63 {
        return Err(format!(
            "{text:?} has {} characters, and a name at most 63",
            text.len()
        ));
    }
    if !text.chars().all(inner) || !edge(text.chars().next()) || !edge(text.chars().last()) {
        return Err(format!(
            "{text:?} is no name: lower-case letters, digits and `-`, with a letter or digit at both ends"
        ));
    }
    Ok(())
}

/// A name made of any text.
pub fn from(text: &str) -> String {
    let mut name = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            name.push(c);
        } else if !name.ends_with('-') && !name.is_empty() {
            name.push('-');
        }
        if name.len() == 50 {
            break;
        }
    }
    name.trim_matches('-').to_owned()
}

/// The name itself, or with the first number that makes it free.
pub fn free(name: &str, taken: impl Fn(&str) -> bool) -> String {
    if !taken(name) {
        return name.to_owned();
    }
    let numbered = (2..1000).map(|number| format!("{name}-{number}"));
    numbered
        .into_iter()
        .find(|n| !taken(n))
        .unwrap_or_else(|| name.to_owned())
}

/// `[NAMESPACE/]NAME`, with the namespace that applies where none is written.
pub fn reference<'t>(text: &'t str, namespace: &'t str) -> (&'t str, &'t str) {
    text.split_once('/').unwrap_or((namespace, text))
}

/// A reference as short as it can be from a namespace.
pub fn short(namespace: &str, name: &str, from: &str) -> String {
    if namespace == from {
        name.to_owned()
    } else {
        format!("{namespace}/{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_kubernetes() {
        assert!(check("app-1").is_ok());
        for wrong in ["", "-a", "a-", "A", "a.b", "a_b"] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
        assert_eq!(from("My Bucket__1."), "my-bucket-1");
    }

    #[test]
    fn a_taken_name_gets_a_number() {
        assert_eq!(free("a", |n| n == "a" || n == "a-2"), "a-3");
        assert_eq!(free("b", |_| false), "b");
        assert_eq!(reference("ops/s3", "demo"), ("ops", "s3"));
        assert_eq!(short("ops", "s3", "demo"), "ops/s3");
        assert_eq!(short("demo", "s3", "demo"), "s3");
    }
}
