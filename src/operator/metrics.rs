//! Counters of the operator's own work, `kubestash_operator_*`.

use std::time::Duration;

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// Labels as name and value.
type Labels = Vec<(&'static str, &'static str)>;

/// Counts reconciles. Cloning shares the counters.
#[derive(Clone)]
pub struct Metrics {
    reconciles: Family<Labels, Counter>,
    durations: Family<Labels, Histogram, fn() -> Histogram>,
    leader: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            reconciles: Family::default(),
            durations: Family::new_with_constructor(histogram),
            leader: Gauge::default(),
        }
    }
}

fn histogram() -> Histogram {
    Histogram::new([0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0])
}

impl Metrics {
    /// One reconcile of `controller` ended as `result` (`ok` or the kind of error) after `took`.
    pub fn reconciled(&self, controller: &'static str, result: &'static str, took: Duration) {
        self.reconciles
            .get_or_create(&vec![("controller", controller), ("result", result)])
            .inc();
        self.durations
            .get_or_create(&vec![("controller", controller)])
            .observe(took.as_secs_f64());
    }

    /// Whether this process leads.
    pub fn leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// Puts the counters into `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "kubestash_operator_reconciles",
            "Reconciles by controller and result",
            self.reconciles.clone(),
        );
        registry.register(
            "kubestash_operator_reconcile_duration_seconds",
            "How long reconciles took",
            self.durations.clone(),
        );
        registry.register(
            "kubestash_operator_leader",
            "1 while this process leads",
            self.leader.clone(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reconciles_are_counted_by_controller_and_result() {
        let metrics = Metrics::default();
        metrics.reconciled("repository", "ok", Duration::from_millis(3));
        metrics.reconciled("repository", "ok", Duration::from_millis(3));
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(
            text.contains(r#"kubestash_operator_reconciles_total{controller="repository",result="ok"} 2"#),
            "{text}"
        );
    }
}
