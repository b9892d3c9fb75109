//! A pod's status from what the node knows. Pure: the time is an argument, and conditions keep the time of their
//! last change.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState as ApiState, ContainerStateRunning, ContainerStateTerminated,
    ContainerStateWaiting, ContainerStatus, HostIP, Pod, PodCondition, PodIP, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::address;
use super::cell::{ContainerState, Doing, Ended, PodState};

/// The whole status. `before` is the one that was written last.
pub(crate) fn compute(pod: &Pod, state: &PodState, before: Option<&PodStatus>, now: Timestamp) -> PodStatus {
    let Some(spec) = &pod.spec else {
        return PodStatus::default();
    };
    let init: &[Container] = spec.init_containers.as_deref().unwrap_or_default();
    let phase = phase(pod, state);
    let terminal = matches!(phase, "Succeeded" | "Failed");
    let verdict = state.verdict.as_ref();
    let conditions = conditions(pod, state, phase, before, now);
    let of = |list: &[Container]| {
        let all: Vec<_> = list
            .iter()
            .filter_map(|c| Some(container(c, state.containers.get(&c.name)?, terminal)))
            .collect();
        (!all.is_empty()).then_some(all)
    };
    PodStatus {
        phase: Some(phase.to_owned()),
        reason: verdict.and_then(|v| v.reason.clone()),
        message: verdict.and_then(|v| v.message.clone()),
        conditions: Some(conditions),
        host_ip: Some(address::HOST.to_owned()),
        host_ips: Some(vec![HostIP {
            ip: address::HOST.to_owned(),
        }]),
        pod_ip: Some(address::of(pod)),
        pod_ips: Some(vec![PodIP { ip: address::of(pod) }]),
        start_time: state.start.map(Time),
        qos_class: Some(quality(pod).to_owned()),
        init_container_statuses: of(init),
        container_statuses: of(&spec.containers),
        observed_generation: pod.metadata.generation,
        ..PodStatus::default()
    }
}

/// Whether an init container is a sidecar: it keeps running beside the others.
pub(crate) fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

fn initialized(pod: &Pod, state: &PodState) -> Vec<String> {
    let init = pod.spec.iter().flat_map(|s| s.init_containers.iter().flatten());
    init.filter(|c| {
        let Some(one) = state.containers.get(&c.name) else {
            return true;
        };
        if is_sidecar(c) {
            !one.started
        } else {
            !matches!(&one.doing, Doing::Ended(e) if e.code == 0)
        }
    })
    .map(|c| c.name.clone())
    .collect()
}

/// The phase, by the rules of the kubelet.
pub(crate) fn phase(pod: &Pod, state: &PodState) -> &'static str {
    if let Some(verdict) = &state.verdict {
        return verdict.phase;
    }
    let Some(spec) = &pod.spec else { return "Pending" };
    let all: Vec<&ContainerState> = spec
        .containers
        .iter()
        .filter_map(|c| state.containers.get(&c.name))
        .collect();
    let never_ran = |c: &&ContainerState| matches!(c.doing, Doing::Waiting { .. }) && c.last.is_none();
    if !initialized(pod, state).is_empty() && all.iter().all(never_ran) || all.iter().any(never_ran) {
        return "Pending";
    }
    let ended = |c: &&ContainerState| match &c.doing {
        Doing::Ended(e) => Some(e.code),
        _ => None,
    };
    let codes: Vec<i32> = all.iter().filter_map(ended).collect();
    let policy = spec.restart_policy.as_deref().unwrap_or("Always");
    if codes.len() < all.len() || policy == "Always" {
        return "Running";
    }
    // A failure has a verdict, which comes with its reason; until then nobody shall read one without.
    if codes.iter().all(|c| *c == 0) {
        "Succeeded"
    } else {
        "Running"
    }
}

fn conditions(
    pod: &Pod,
    state: &PodState,
    phase: &str,
    before: Option<&PodStatus>,
    now: Timestamp,
) -> Vec<PodCondition> {
    let old = before
        .or(pod.status.as_ref())
        .and_then(|s| s.conditions.clone())
        .unwrap_or_default();
    let uninitialized = initialized(pod, state);
    let spec = pod.spec.iter();
    let unready: Vec<String> = spec
        .flat_map(|s| {
            s.init_containers
                .iter()
                .flatten()
                .filter(|c| is_sidecar(c))
                .chain(&s.containers)
        })
        .filter(|c| !state.containers.get(&c.name).is_some_and(|one| one.ready))
        .map(|c| c.name.clone())
        .collect();
    let why_unready = match phase {
        "Succeeded" => Some(("PodCompleted", String::new())),
        "Failed" => Some(("PodFailed", String::new())),
        _ if unready.is_empty() => None,
        _ => Some((
            "ContainersNotReady",
            format!("containers with unready status: [{}]", unready.join(" ")),
        )),
    };
    let why_uninitialized = match phase {
        "Succeeded" => None,
        _ if uninitialized.is_empty() => None,
        _ => {
            let message = format!("containers with incomplete status: [{}]", uninitialized.join(" "));
            Some(("ContainersNotInitialized", message))
        }
    };
    let gates = pod.spec.iter().flat_map(|s| s.readiness_gates.iter().flatten());
    let closed_gate = gates.map(|g| g.condition_type.clone()).find(|gate| {
        let conditions = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
        !conditions.clone().any(|c| c.type_ == *gate && c.status == "True")
    });
    let why_not_ready = why_unready.clone().or_else(|| {
        closed_gate.map(|g| {
            (
                "ReadinessGatesNotReady",
                format!("the status of pod readiness gate \"{g}\" is not \"True\""),
            )
        })
    });
    let started = (!state.volumes_ready).then(|| ("", String::new()));
    let own = [
        ("PodReadyToStartContainers", started),
        ("Initialized", why_uninitialized),
        ("Ready", why_not_ready),
        ("ContainersReady", why_unready),
        ("PodScheduled", None),
    ];
    let mut all: Vec<PodCondition> = own
        .iter()
        .map(|(kind, why)| condition(kind, why.as_ref(), &old, now))
        .collect();
    // Conditions of others (readiness gates, disruption) come from the newest object.
    let others = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
    all.extend(
        others
            .filter(|c| own.iter().all(|(kind, _)| c.type_ != *kind))
            .cloned(),
    );
    all
}

fn condition(
    kind: &str,
    why_false: Option<&(&str, String)>,
    old: &[PodCondition],
    now: Timestamp,
) -> PodCondition {
    let status = if why_false.is_some() { "False" } else { "True" };
    let text = |t: &str| (!t.is_empty()).then(|| t.to_owned());
    let since = old
        .iter()
        .find(|c| c.type_ == kind && c.status == status)
        .and_then(|c| c.last_transition_time.clone());
    PodCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: why_false.and_then(|(r, _)| text(r)),
        message: why_false.and_then(|(_, m)| text(m)),
        last_transition_time: Some(since.unwrap_or(Time(now))),
        ..PodCondition::default()
    }
}

fn container(spec: &Container, state: &ContainerState, terminal: bool) -> ContainerStatus {
    let image = spec.image.clone().unwrap_or_default();
    let id = match &state.doing {
        Doing::Running { id, .. } => Some(id.clone()),
        Doing::Ended(e) => Some(e.id.clone()),
        Doing::Waiting { .. } => state.last.as_ref().map(|e| e.id.clone()),
    };
    ContainerStatus {
        name: spec.name.clone(),
        image_id: if id.is_some() {
            format!("sandbox://{image}")
        } else {
            String::new()
        },
        image,
        container_id: id.filter(|i| !i.is_empty()),
        ready: state.ready && !terminal,
        started: Some(state.started && matches!(state.doing, Doing::Running { .. })),
        restart_count: state.restarts,
        state: Some(api_state(&state.doing)),
        last_state: Some(state.last.as_ref().map_or_else(ApiState::default, |e| ApiState {
            terminated: Some(terminated(e)),
            ..ApiState::default()
        })),
        ..ContainerStatus::default()
    }
}

fn api_state(doing: &Doing) -> ApiState {
    match doing {
        Doing::Waiting { reason, message } => ApiState {
            waiting: Some(ContainerStateWaiting {
                reason: Some(reason.clone()),
                message: message.clone(),
            }),
            ..ApiState::default()
        },
        Doing::Running { since, .. } => ApiState {
            running: Some(ContainerStateRunning {
                started_at: Some(Time(*since)),
            }),
            ..ApiState::default()
        },
        Doing::Ended(e) => ApiState {
            terminated: Some(terminated(e)),
            ..ApiState::default()
        },
    }
}

fn terminated(e: &Ended) -> ContainerStateTerminated {
    ContainerStateTerminated {
        container_id: (!e.id.is_empty()).then(|| e.id.clone()),
        exit_code: e.code,
        signal: e.signal,
        reason: (!e.reason.is_empty()).then(|| e.reason.clone()),
        message: e.message.clone(),
        started_at: e.started.map(Time),
        finished_at: Some(Time(e.finished)),
    }
}

/// The quality-of-service class.
fn quality(pod: &Pod) -> &'static str {
    let spec = pod.spec.iter();
    let all: Vec<&Container> = spec
        .flat_map(|s| s.init_containers.iter().flatten().chain(&s.containers))
        .collect();
    let get = |c: &Container, limits: bool, name: &str| {
        let r = c.resources.as_ref()?;
        let list = if limits {
            r.limits.as_ref()
        } else {
            r.requests.as_ref().or(r.limits.as_ref())
        };
        list.and_then(|l| l.get(name)).map(|q| q.0.clone())
    };
    let names = ["cpu", "memory"];
    let none = all.iter().all(|c| {
        names
            .iter()
            .all(|n| get(c, true, n).is_none() && get(c, false, n).is_none())
    });
    let full = |c: &&&Container| {
        names
            .iter()
            .all(|n| get(c, true, n).is_some() && get(c, true, n) == get(c, false, n))
    };
    match (none, all.iter().filter(full).count() == all.len()) {
        (true, _) => "BestEffort",
        (false, true) => "Guaranteed",
        (false, false) => "Burstable",
    }
}
