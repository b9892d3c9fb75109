//! The plan of a restore for people.

use jiff::Timestamp;

use super::RestorePlan;
use super::room::VolumePlan;
use crate::output::human;

impl RestorePlan {
    /// The plan for people.
    pub(in crate::cli::commands::restore) fn lines(&self, now: Timestamp) -> Vec<String> {
        let taken = self
            .taken
            .map(|t| format!("{t:.0} ({} ago)", human::age(t, now)))
            .unwrap_or_default();
        let list = |items: &[String]| items.join(", ");
        let mut lines = Vec::new();
        let mut add = |name: &str, value: String| {
            if !value.is_empty() {
                lines.push(format!("{:<12} {value}", format!("{name}:")));
            }
        };
        add(
            "Snapshot",
            format!("{} in Repository {}", self.snapshot, self.repository),
        );
        add("Taken", taken);
        add("Of", self.source.clone());
        add("Into", self.target.clone());
        add("By", self.task.clone());
        for component in &self.components {
            add(
                "Component",
                format!(
                    "{} ({}, {})",
                    component.name,
                    list(&component.paths),
                    human::bytes(component.bytes)
                ),
            );
        }
        let partly = !self.include.is_empty() || !self.exclude.is_empty();
        let most = if partly { "at most " } else { "" };
        add("Data", format!("{most}{}", human::bytes(self.bytes)));
        add("Only", list(&self.include));
        add("Without", list(&self.exclude));
        for volume in &self.volumes {
            add("Volume", room(volume));
        }
        add("Managed by", list(&self.owners));
        add("Used by", list(&self.used_by));
        add("Overwrites", self.overwrites.clone());
        for warning in &self.warnings {
            add("Warning", warning.clone());
        }
        for guard in &self.guards {
            add("Guard", guard.clone());
        }
        lines
    }
}

/// How large a volume is and how much of it is free.
fn room(volume: &VolumePlan) -> String {
    let capacity = volume
        .capacity
        .map_or_else(|| "size not known".to_owned(), human::bytes);
    let free = match volume.free {
        Some(free) => format!("{} free (says {})", human::bytes(free), volume.free_by),
        None => format!("free: {}", volume.free_by),
    };
    format!("{} ({capacity}), {free}", volume.claim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_free_is_said_with_who_says_so() {
        let mut volume = VolumePlan {
            claim: "data".into(),
            capacity: Some(1 << 30),
            free: Some(1 << 20),
            free_by: "pod web-0".into(),
            used_by: Vec::new(),
        };
        assert_eq!(room(&volume), "data (1.0 GiB), 1.0 MiB free (says pod web-0)");
        volume.free = None;
        volume.free_by = "not known: no running pod has it mounted".into();
        assert_eq!(
            room(&volume),
            "data (1.0 GiB), free: not known: no running pod has it mounted"
        );
    }
}
