//! What a target consists of: which Jobs run for it, and how the components are called.
//!
//! A component's name is also restic's `--host` and the last piece of its path in the repository, so it depends on the
//! target's nature alone (ordinal, node), never on a pod's name that changes with every restart.

use crate::api::{addons::Task, storage::Driver};

/// One of the places a task runs for: the whole target, one pod of a StatefulSet, or one node of a DaemonSet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Instance {
    /// The target as a whole.
    Whole,
    /// The pod with this ordinal.
    Pod(u32),
    /// The pod on this node.
    Node(String),
}

impl Instance {
    /// The piece that tells this instance's Job from the others; nothing for the whole target.
    #[must_use]
    pub fn job_suffix(&self) -> Option<String> {
        match self {
            Self::Whole => None,
            Self::Pod(ordinal) => Some(super::naming::pod_instance(*ordinal)),
            Self::Node(node) => Some(super::naming::node_instance(node)),
        }
    }

    /// The component that `base` is for this instance: `dump`, `dump-pod-0`, `dump-<node>`.
    #[must_use]
    pub fn component(&self, base: &str) -> String {
        match self {
            Self::Whole => base.to_owned(),
            Self::Pod(ordinal) => format!("{base}-pod-{ordinal}"),
            Self::Node(node) => format!("{base}-{node}"),
        }
    }

    /// The instance that a component of `base` belongs to; nothing when it is not one of `base`'s.
    #[must_use]
    pub fn of_component(component: &str, base: &str) -> Option<Self> {
        if component == base {
            return Some(Self::Whole);
        }
        let rest = component.strip_prefix(base)?.strip_prefix('-')?;
        if let Some(ordinal) = rest.strip_prefix("pod-").and_then(|digits| digits.parse().ok()) {
            return Some(Self::Pod(ordinal));
        }
        (!rest.is_empty()).then(|| Self::Node(rest.to_owned()))
    }
}

/// The first piece of the name of the components that a task makes.
#[must_use]
pub fn base(task: &Task) -> &'static str {
    if task.driver == Some(Driver::VolumeSnapshotter) {
        return "volumesnapshot";
    }
    let name = &task.name;
    if name.starts_with("manifest") || task.function.starts_with("kubedump") {
        "manifest"
    } else if name.starts_with("physical") {
        "physical"
    } else if name.starts_with("dashboard") {
        "dashboard"
    } else {
        "dump"
    }
}

/// Where a task of a target runs. `replicas` counts for StatefulSets, `nodes` for DaemonSets.
#[must_use]
pub fn instances(kind: &str, singleton: bool, replicas: u32, nodes: &[String]) -> Vec<Instance> {
    match kind {
        "StatefulSet" if !singleton => (0..replicas).map(Instance::Pod).collect(),
        "DaemonSet" if !singleton => {
            let mut nodes: Vec<_> = nodes.iter().cloned().map(Instance::Node).collect();
            nodes.sort();
            nodes.dedup();
            nodes
        }
        _ => vec![Instance::Whole],
    }
}

/// The ordinal at the end of a StatefulSet pod's name.
#[must_use]
pub fn ordinal(stateful_set: &str, pod: &str) -> Option<u32> {
    pod.strip_prefix(stateful_set)?.strip_prefix('-')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn task(name: &str) -> Task {
        Task {
            name: name.to_owned(),
            ..Task::default()
        }
    }

    #[test]
    fn names_by_task() {
        assert_eq!(base(&task("logical-backup")), "dump");
        assert_eq!(base(&task("logical-backup-restore")), "dump");
        assert_eq!(base(&task("manifest-backup")), "manifest");
        assert_eq!(base(&task("physical-backup-restore")), "physical");
        let mut snapshots = task("volume-snapshot");
        snapshots.driver = Some(Driver::VolumeSnapshotter);
        assert_eq!(base(&snapshots), "volumesnapshot");
    }

    #[test]
    fn a_job_per_pod_or_node_unless_one_is_enough() {
        assert_eq!(
            instances("StatefulSet", false, 3, &[]),
            [Instance::Pod(0), Instance::Pod(1), Instance::Pod(2)]
        );
        assert_eq!(instances("StatefulSet", true, 3, &[]), [Instance::Whole]);
        assert_eq!(instances("Deployment", false, 3, &[]), [Instance::Whole]);
        let nodes = ["b".to_owned(), "a".to_owned(), "a".to_owned()];
        assert_eq!(
            instances("DaemonSet", false, 0, &nodes),
            [Instance::Node("a".into()), Instance::Node("b".into())]
        );
    }

    #[test]
    fn documented_component_names() {
        assert_eq!(Instance::Pod(2).component("dump"), "dump-pod-2");
        assert_eq!(
            Instance::Node("kind-control-plane".into()).component("dump"),
            "dump-kind-control-plane"
        );
        assert_eq!(ordinal("sample-sts", "sample-sts-12"), Some(12));
        assert_eq!(ordinal("sample-sts", "sample-sts-x"), None);
        assert_eq!(ordinal("sample", "sample-sts-0"), None);
    }

    proptest! {
        #[test]
        fn a_component_leads_back_to_its_instance(ordinal in 0u32..10_000, node in "[a-z][a-z0-9.-]{0,30}") {
            prop_assume!(!node.starts_with("pod-"));
            for instance in [Instance::Whole, Instance::Pod(ordinal), Instance::Node(node)] {
                prop_assert_eq!(Instance::of_component(&instance.component("dump"), "dump"), Some(instance));
            }
        }
    }
}
