//! Keeps secrets out of what restic and the providers print.

/// Replaces secret values in texts.
#[derive(Clone, Default)]
pub struct Redactor {
    /// Longest first, so that a value that contains another is replaced whole.
    values: Vec<String>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor({} values)", self.values.len())
    }
}

/// Shorter values are words of every day; replacing them would only garble the text.
const SHORTEST: usize = 6;

impl Redactor {
    /// Learns values. Values of several lines (certificates, keys in JSON) are learnt line by line too.
    pub fn learn<'a>(&mut self, values: impl IntoIterator<Item = &'a str>) {
        for value in values {
            let value = value.trim();
            for part in std::iter::once(value).chain(value.lines().map(str::trim)) {
                if part.len() >= SHORTEST && !part.starts_with("-----") {
                    self.values.push(part.to_owned());
                }
            }
        }
        self.values
            .sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        self.values.dedup();
    }

    /// The text without secrets.
    #[must_use]
    pub fn clean(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        for value in &self.values {
            if clean.contains(value.as_str()) {
                clean = clean.replace(value.as_str(), "[redacted]");
            }
        }
        clean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_vanish_wherever_they_stand() {
        let mut redactor = Redactor::default();
        redactor.learn([
            "hunter2-secret",
            "hunter2-secret-longer",
            "a",
            "line one\nline two\n",
        ]);
        assert_eq!(
            redactor.clean("key=hunter2-secret-longer&x=hunter2-secret; line two; a cat"),
            "key=[redacted]&x=[redacted]; [redacted]; a cat"
        );
        assert!(!format!("{redactor:?}").contains("hunter2"));
    }
}
