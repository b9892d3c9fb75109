//! HookTemplate: an action and somebody to carry it out.

use super::Review;
use crate::api::core::{ExecutorType, HookTemplate};

pub(super) fn check(review: &mut Review<'_, HookTemplate>) {
    let spec = &review.new.spec;
    let type_ = spec.executor.as_ref().and_then(|executor| executor.type_);
    if spec.executor.is_none() {
        review.deny(
            "spec.executor",
            "the executor is missing; its type is one of Function, Pod, Operator",
        );
    }
    if spec.action.is_none() && type_ != Some(ExecutorType::Function) {
        review.deny(
            "spec.action",
            "the action is missing; give one of exec, httpGet, httpPost, tcpSocket",
        );
    }
    review.check_selector(spec.usage_policy.as_ref());
    let Some(executor) = &spec.executor else { return };
    match executor.type_ {
        Some(ExecutorType::Function) if executor.function.is_none() => {
            review.deny("spec.executor.function", "type Function needs a function");
        }
        Some(ExecutorType::Pod) => match &executor.pod {
            None => review.deny("spec.executor.pod", "type Pod needs a pod with a selector"),
            Some(pod) => selector(review, &pod.selector),
        },
        Some(ExecutorType::Operator) if spec.action.as_ref().is_some_and(|action| action.exec.is_some()) => {
            review.warn("spec.action.exec: the operator runs no commands; use httpGet, httpPost or tcpSocket, or type Pod");
        }
        _ => {}
    }
}

/// Every comma-separated part must have a `=`, as `app=web,tier!=cache` has.
fn selector(review: &mut Review<'_, HookTemplate>, selector: &str) {
    if selector.trim().is_empty() {
        review.deny(
            "spec.executor.pod.selector",
            "the selector is empty; use labels of the pods, such as app=web",
        );
        return;
    }
    if let Some(part) = selector.split(',').find(|part| !part.contains('=')) {
        review.deny(
            "spec.executor.pod.selector",
            format!("\"{part}\" has no `=`; write label=value pairs with commas between them, such as app=web,tier=db"),
        );
    }
}
