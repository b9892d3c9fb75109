//! `--include` and `--exclude`: restic's way of matching paths.

/// Whether a pattern matches a path or a directory above it. A pattern with a leading slash is matched from the top, any
/// other at any depth; `*` and `?` stay within a name, `**` crosses directories.
pub(super) fn covers(pattern: &str, path: &[u8]) -> bool {
    let parts: Vec<&[u8]> = path.split(|b| *b == b'/').filter(|s| !s.is_empty()).collect();
    let wanted: Vec<&[u8]> = pattern
        .as_bytes()
        .split(|b| *b == b'/')
        .filter(|s| !s.is_empty())
        .collect();
    if wanted.is_empty() {
        return false;
    }
    let starts = if pattern.starts_with('/') {
        0..1
    } else {
        0..parts.len()
    };
    starts
        .into_iter()
        .any(|start| begins(&wanted, parts.get(start..).unwrap_or_default()))
}

/// Whether the names begin with what is wanted.
fn begins(wanted: &[&[u8]], names: &[&[u8]]) -> bool {
    match wanted.split_first() {
        None => true,
        Some((&b"**", rest)) => {
            (0..=names.len()).any(|skip| begins(rest, names.get(skip..).unwrap_or_default()))
        }
        Some((first, rest)) => names
            .split_first()
            .is_some_and(|(name, names)| matches(first, name) && begins(rest, names)),
    }
}

/// One name against one pattern.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => {
            (0..=name.len()).any(|skip| matches(rest, name.get(skip..).unwrap_or_default()))
        }
        Some((b'?', rest)) => name.split_first().is_some_and(|(_, name)| matches(rest, name)),
        Some((b'\\', rest)) if !rest.is_empty() => literal(rest, name),
        Some(_) => literal(pattern, name),
    }
}

fn literal(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (Some((a, pattern)), Some((b, name))) => a == b && matches(pattern, name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_restics_do() {
        for (pattern, path, wanted) in [
            ("*.yaml", "/data/config/app.yaml", true),
            ("*.yaml", "/data/app.yaml.bak", false),
            ("config", "/data/config/app.yaml", true),
            ("/data/config", "/data/config/deep/x", true),
            ("/config", "/data/config", false),
            ("data/*/x", "/a/data/b/x/y", true),
            ("/data/**/x", "/data/a/b/x", true),
            ("?.txt", "/d/a.txt", true),
            ("?.txt", "/d/ab.txt", false),
            ("a\\*b", "/a*b", true),
            ("a\\*b", "/axb", false),
            ("", "/a", false),
        ] {
            assert_eq!(covers(pattern, path.as_bytes()), wanted, "{pattern} {path}");
        }
    }
}
