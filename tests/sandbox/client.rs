//! The API server through kube's own client, without a socket.

// JSON literals read best as arguments by value.
#![allow(clippy::needless_pass_by_value)]

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Secret, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, ObjectMeta, Patch,
    PatchParams, PostParams, PropagationPolicy, ValidationDirective,
};
use kube::core::WatchEvent;
use kube::runtime::controller::{Action, Controller};
use kube::runtime::watcher;
use kubestash::sandbox::{Identity, Options, Server};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(20);

pub(super) fn server() -> Server {
    Server::new(&Options::default()).unwrap()
}

pub(super) fn from<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn config_map(name: &str, data: Value) -> ConfigMap {
    from(json!({"metadata": {"name": name}, "data": data}))
}

pub(super) fn code(error: kube::Error) -> (u16, String) {
    match error {
        kube::Error::Api(status) => (status.code, status.message.clone()),
        other => panic!("not an API error: {other}"),
    }
}

pub(super) async fn account(client: &kube::Client, namespace: &str, name: &str) {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    accounts
        .create(&PostParams::default(), &from(json!({"metadata": {"name": name}})))
        .await
        .unwrap();
}

/// A CRD with a bit of everything.
pub(super) const WIDGETS: &str = include_str!("widgets.yaml");

pub(super) fn widget_kind() -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("test.io", "v1", "Widget"), "widgets")
}

async fn with_widgets() -> (Server, Api<DynamicObject>) {
    let server = server();
    let client = server.client(Identity::Admin);
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    crds.create(&PostParams::default(), &serde_saphyr::from_str(WIDGETS).unwrap())
        .await
        .unwrap();
    let kind = widget_kind();
    (server.clone(), Api::namespaced_with(client, "default", &kind))
}

fn widget(name: &str, spec: Value) -> DynamicObject {
    from(json!({"apiVersion": "test.io/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec}))
}

#[tokio::test]
async fn objects_are_made_changed_and_deleted() {
    let maps: Api<ConfigMap> = Api::default_namespaced(server().client(Identity::Admin));
    let made = maps
        .create(&PostParams::default(), &config_map("a", json!({"k": "1"})))
        .await
        .unwrap();
    assert!(made.metadata.uid.is_some() && made.metadata.creation_timestamp.is_some());
    let (status, message) = code(
        maps.create(&PostParams::default(), &config_map("a", json!({})))
            .await
            .unwrap_err(),
    );
    assert_eq!(
        (status, message.as_str()),
        (409, "configmaps \"a\" already exists")
    );
    let mut newer = made.clone();
    newer.data = Some([("k".to_owned(), "2".to_owned())].into());
    maps.replace("a", &PostParams::default(), &newer).await.unwrap();
    let (status, message) = code(
        maps.replace("a", &PostParams::default(), &newer)
            .await
            .unwrap_err(),
    );
    assert_eq!(status, 409);
    assert!(message.contains("the object has been modified"));
    let same = maps
        .patch(
            "a",
            &PatchParams::default(),
            &Patch::Merge(json!({"data": {"k": "2"}})),
        )
        .await
        .unwrap();
    let again = maps.get("a").await.unwrap();
    assert_eq!(
        same.metadata.resource_version, again.metadata.resource_version,
        "a change of nothing writes nothing"
    );
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    assert_eq!(
        code(maps.get("a").await.unwrap_err()),
        (404, "configmaps \"a\" not found".into())
    );
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    maps.create(&dry, &config_map("b", json!({}))).await.unwrap();
    assert!(maps.get_opt("b").await.unwrap().is_none());
    let mut named: ConfigMap = config_map("", json!({}));
    named.metadata = ObjectMeta {
        generate_name: Some("x-".into()),
        ..ObjectMeta::default()
    };
    assert!(
        maps.create(&PostParams::default(), &named)
            .await
            .unwrap()
            .metadata
            .name
            .unwrap()
            .len()
            == 7
    );
}

#[tokio::test]
async fn finalizers_hold_objects() {
    let maps: Api<ConfigMap> = Api::default_namespaced(server().client(Identity::Admin));
    let mut held = config_map("a", json!({}));
    held.metadata.finalizers = Some(vec!["x.io/hold".into()]);
    maps.create(&PostParams::default(), &held).await.unwrap();
    let left = maps
        .delete("a", &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .unwrap();
    assert!(left.metadata.deletion_timestamp.is_some());
    let more = Patch::Merge(json!({"metadata": {"finalizers": ["x.io/hold", "x.io/new"]}}));
    let (status, message) = code(maps.patch("a", &PatchParams::default(), &more).await.unwrap_err());
    assert_eq!(status, 422);
    assert!(message.contains("no new finalizers can be added if the object is being deleted"));
    maps.patch(
        "a",
        &PatchParams::default(),
        &Patch::Merge(json!({"metadata": {"finalizers": null}})),
    )
    .await
    .unwrap();
    assert!(maps.get_opt("a").await.unwrap().is_none());
    maps.create(&PostParams::default(), &config_map("b", json!({})))
        .await
        .unwrap();
    let foreground = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Foreground),
        ..DeleteParams::default()
    };
    let left = maps.delete("b", &foreground).await.unwrap().left().unwrap();
    assert_eq!(left.metadata.finalizers.unwrap(), ["foregroundDeletion"]);
}

#[tokio::test]
async fn lists_page_select_and_watch() {
    let client = server().client(Identity::Admin);
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    for index in 0..5 {
        let mut map = config_map(&format!("m{index}"), json!({}));
        map.metadata.labels = Some([("odd".to_owned(), (index % 2).to_string())].into());
        maps.create(&PostParams::default(), &map).await.unwrap();
    }
    let names = |list: &kube::core::ObjectList<ConfigMap>| {
        list.items
            .iter()
            .map(|m| m.metadata.name.clone().unwrap())
            .collect::<Vec<_>>()
    };
    let first = maps.list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!(names(&first), ["m0", "m1"]);
    assert_eq!(first.metadata.remaining_item_count, Some(3));
    let token = first.metadata.continue_.clone().unwrap();
    let second = maps
        .list(&ListParams::default().limit(3).continue_token(&token))
        .await
        .unwrap();
    assert_eq!(names(&second), ["m2", "m3", "m4"]);
    assert!(second.metadata.continue_.is_none());
    assert_eq!(
        names(
            &maps
                .list(&ListParams::default().labels("odd in (1)"))
                .await
                .unwrap()
        ),
        ["m1", "m3"]
    );
    assert_eq!(
        names(
            &maps
                .list(&ListParams::default().fields("metadata.name=m4"))
                .await
                .unwrap()
        ),
        ["m4"]
    );
    // A watch from the list's version sees what came later, and what left the selection.
    let version = first.metadata.resource_version.clone().unwrap();
    let params = kube::api::WatchParams::default().labels("odd=1");
    let mut events = maps.watch(&params, &version).await.unwrap().boxed();
    maps.patch(
        "m1",
        &PatchParams::default(),
        &Patch::Merge(json!({"metadata": {"labels": {"odd": "0"}}})),
    )
    .await
    .unwrap();
    maps.delete("m3", &DeleteParams::default()).await.unwrap();
    for expected in ["m1", "m3"] {
        match tokio::time::timeout(LIMIT, events.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap()
        {
            WatchEvent::Deleted(map) => assert_eq!(map.metadata.name.unwrap(), expected),
            other => panic!("unexpected {other:?}"),
        }
    }
    let gone = maps
        .watch(&kube::api::WatchParams::default(), "1")
        .await
        .unwrap()
        .boxed()
        .next()
        .await;
    assert!(
        matches!(gone, Some(Ok(_))),
        "the whole history is still there: {gone:?}"
    );
}

#[tokio::test]
async fn crds_validate_default_and_isolate_status() {
    let (_server, widgets) = with_widgets().await;
    let made = widgets
        .create(&PostParams::default(), &widget("a", json!({"color": "red"})))
        .await
        .unwrap();
    assert_eq!(made.data["spec"]["replicas"], 1);
    assert_eq!(made.metadata.generation, Some(1));
    let bad = widgets
        .create(&PostParams::default(), &widget("b", json!({"color": "green"})))
        .await
        .unwrap_err();
    assert_eq!(code(bad), (422, "Widget.test.io \"b\" is invalid: spec.color: Unsupported value: \"green\": supported values: \"red\", \"blue\"".into()));
    let bad = widgets
        .create(
            &PostParams::default(),
            &widget("b", json!({"color": "red", "replicas": 11})),
        )
        .await;
    assert!(code(bad.unwrap_err()).1.contains("too many"));
    let changed = widgets
        .patch(
            "a",
            &PatchParams::default(),
            &Patch::Merge(json!({"spec": {"color": "blue"}})),
        )
        .await;
    assert!(code(changed.unwrap_err()).1.contains("color is immutable"));
    let status = json!({"spec": {"replicas": 5}, "status": {"phase": "Ready"}});
    let after = widgets
        .patch_status("a", &PatchParams::default(), &Patch::Merge(&status))
        .await
        .unwrap();
    assert_eq!(
        (&after.data["spec"]["replicas"], &after.data["status"]["phase"]),
        (&json!(1), &json!("Ready"))
    );
    assert_eq!(after.metadata.generation, Some(1));
    let both = json!({"spec": {"replicas": 5}, "status": {"phase": "Lost"}});
    let after = widgets
        .patch("a", &PatchParams::default(), &Patch::Merge(&both))
        .await
        .unwrap();
    assert_eq!(
        (&after.data["spec"]["replicas"], &after.data["status"]["phase"]),
        (&json!(5), &json!("Ready"))
    );
    assert_eq!(after.metadata.generation, Some(2));
    let scaled = widgets
        .patch_scale(
            "a",
            &PatchParams::default(),
            &Patch::Merge(json!({"spec": {"replicas": 3}})),
        )
        .await;
    assert_eq!(scaled.unwrap().spec.unwrap().replicas, Some(3));
    assert_eq!(
        widgets
            .list(&ListParams::default().fields("spec.color=blue"))
            .await
            .unwrap()
            .items
            .len(),
        0
    );
    assert_eq!(
        widgets
            .list(&ListParams::default().fields("spec.color=red"))
            .await
            .unwrap()
            .items
            .len(),
        1
    );
    let strict = PatchParams {
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::default()
    };
    let typo = widgets
        .patch("a", &strict, &Patch::Merge(json!({"spec": {"colour": "x"}})))
        .await
        .unwrap_err();
    let (status, message) = code(typo);
    assert_eq!(status, 400);
    assert!(
        message.contains("strict decoding error: unknown field \"spec.colour\""),
        "{message}"
    );
}

#[tokio::test]
async fn a_deleted_crd_takes_its_objects_along() {
    let (server, widgets) = with_widgets().await;
    let mut held = widget("a", json!({"color": "red"}));
    held.metadata.finalizers = Some(vec!["x.io/hold".into()]);
    widgets.create(&PostParams::default(), &held).await.unwrap();
    let crds: Api<CustomResourceDefinition> = Api::all(server.client(Identity::Admin));
    crds.delete("widgets.test.io", &DeleteParams::default())
        .await
        .unwrap();
    assert!(
        crds.get_opt("widgets.test.io").await.unwrap().is_some(),
        "an object still holds it"
    );
    let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    tokio::time::timeout(LIMIT, async {
        while widgets
            .get("a")
            .await
            .unwrap()
            .metadata
            .deletion_timestamp
            .is_none()
        {
            tokio::task::yield_now().await;
        }
        widgets.patch("a", &PatchParams::default(), &free).await.unwrap();
        while crds.get_opt("widgets.test.io").await.unwrap().is_some() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert_eq!(
        code(widgets.list(&ListParams::default()).await.unwrap_err()).0,
        404
    );
}

#[tokio::test]
async fn apply_conflicts_and_ownership() {
    let (_server, widgets) = with_widgets().await;
    let apply = |manager: &'static str, spec: Value, force: bool| {
        let widgets = widgets.clone();
        async move {
            let params = PatchParams {
                force,
                ..PatchParams::apply(manager)
            };
            widgets
                .patch("a", &params, &Patch::Apply(widget("a", spec)))
                .await
        }
    };
    apply(
        "one",
        json!({"color": "red", "parts": [{"name": "x", "size": 1}]}),
        false,
    )
    .await
    .unwrap();
    let both = apply(
        "two",
        json!({"color": "red", "parts": [{"name": "y", "size": 2}]}),
        false,
    )
    .await
    .unwrap();
    assert_eq!(both.data["spec"]["parts"].as_array().unwrap().len(), 2);
    let clash = code(
        apply(
            "two",
            json!({"color": "red", "parts": [{"name": "x", "size": 9}]}),
            false,
        )
        .await
        .unwrap_err(),
    );
    assert_eq!(
        clash,
        (
            409,
            "Apply failed with 1 conflict: conflict with \"one\": .spec.parts[name=\"x\"].size".into()
        )
    );
    let forced = apply(
        "two",
        json!({"color": "red", "parts": [{"name": "x", "size": 9}]}),
        true,
    )
    .await
    .unwrap();
    assert_eq!(
        forced.data["spec"]["parts"],
        json!([{"name": "x", "size": 9}]),
        "y was dropped by its only manager"
    );
    let before = forced.metadata.resource_version.clone();
    let same = apply(
        "two",
        json!({"color": "red", "parts": [{"name": "x", "size": 9}]}),
        true,
    )
    .await
    .unwrap();
    assert_eq!(
        before, same.metadata.resource_version,
        "the same apply again writes nothing"
    );
    let status = widget("a", json!({}));
    let mut status = serde_json::to_value(status).unwrap();
    status["status"] = json!({"phase": "Ready"});
    status.as_object_mut().unwrap().remove("spec");
    let done = widgets
        .patch_status("a", &PatchParams::apply("three"), &Patch::Apply(&status))
        .await
        .unwrap();
    assert_eq!(done.data["status"]["phase"], "Ready");
    assert_eq!(done.data["spec"]["color"], "red");
}

#[tokio::test]
async fn service_accounts_may_do_what_roles_say() {
    let server = server();
    let admin = server.client(Identity::Admin);
    account(&admin, "default", "worker").await;
    let worker = server.client(Identity::ServiceAccount {
        namespace: "default".into(),
        name: "worker".into(),
    });
    let maps: Api<ConfigMap> = Api::namespaced(worker.clone(), "default");
    assert_eq!(
        code(maps.list(&ListParams::default()).await.unwrap_err()),
        (403, "configmaps is forbidden: User \"system:serviceaccount:default:worker\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"default\"".into())
    );
    let roles: Api<k8s_openapi::api::rbac::v1::Role> = Api::namespaced(admin.clone(), "default");
    roles
        .create(
            &PostParams::default(),
            &from(json!({"metadata": {"name": "r"}, "rules": [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]},
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "verbs": ["create"]}]})),
        )
        .await
        .unwrap();
    let bindings: Api<k8s_openapi::api::rbac::v1::RoleBinding> = Api::namespaced(admin.clone(), "default");
    bindings
        .create(
            &PostParams::default(),
            &from(json!({"metadata": {"name": "r"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"kind": "ServiceAccount", "name": "worker"}]})),
        )
        .await
        .unwrap();
    maps.list(&ListParams::default()).await.unwrap();
    assert_eq!(code(maps.get("x").await.unwrap_err()).0, 403);
    let own: Api<k8s_openapi::api::rbac::v1::Role> = Api::namespaced(worker, "default");
    let more = from(
        json!({"metadata": {"name": "more"}, "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]}),
    );
    let (status, message) = code(own.create(&PostParams::default(), &more).await.unwrap_err());
    assert_eq!(status, 403);
    assert!(message.contains("is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\"]}"), "{message}");
    let less = from(
        json!({"metadata": {"name": "less"}, "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]}),
    );
    own.create(&PostParams::default(), &less).await.unwrap();
}

#[tokio::test]
async fn pods_get_an_account_and_its_token() {
    let client = server().client(Identity::Admin);
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let pod: Pod =
        from(json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "x"}]}}));
    assert!(
        code(pods.create(&PostParams::default(), &pod).await.unwrap_err())
            .1
            .contains("serviceaccount \"default\" not found")
    );
    account(&client, "default", "default").await;
    let made = pods.create(&PostParams::default(), &pod).await.unwrap();
    let spec = made.spec.unwrap();
    assert_eq!(spec.service_account_name.as_deref(), Some("default"));
    assert!(spec.volumes.unwrap()[0].name.starts_with("kube-api-access-"));
    assert_eq!(
        spec.containers[0].volume_mounts.as_ref().unwrap()[0].mount_path,
        "/var/run/secrets/kubernetes.io/serviceaccount"
    );
    assert_eq!(
        spec.containers[0].termination_message_path.as_deref(),
        Some("/dev/termination-log")
    );
    assert_eq!(made.status.unwrap().phase.as_deref(), Some("Pending"));
}

#[tokio::test]
async fn namespaces_terminate() {
    let client = server().client(Identity::Admin);
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "gone");
    assert_eq!(
        code(
            maps.create(&PostParams::default(), &config_map("a", json!({})))
                .await
                .unwrap_err()
        ),
        (404, "namespaces \"gone\" not found".into())
    );
    namespaces
        .create(
            &PostParams::default(),
            &from(json!({"metadata": {"name": "gone"}})),
        )
        .await
        .unwrap();
    namespaces.delete("gone", &DeleteParams::default()).await.unwrap();
    let left = namespaces.get("gone").await.unwrap();
    assert_eq!(left.status.unwrap().phase.as_deref(), Some("Terminating"));
    let (status, message) = code(
        maps.create(&PostParams::default(), &config_map("a", json!({})))
            .await
            .unwrap_err(),
    );
    assert_eq!(status, 403);
    assert!(message.contains("because it is being terminated"));
    let free: Namespace = from(json!({"metadata": {"name": "gone"}, "spec": {}}));
    let request =
        http::Request::put("/api/v1/namespaces/gone/finalize").header("content-type", "application/json");
    client
        .request::<Namespace>(request.body(serde_json::to_vec(&free).unwrap()).unwrap())
        .await
        .unwrap();
    assert!(namespaces.get_opt("gone").await.unwrap().is_none());
}

#[tokio::test]
async fn secrets_take_plain_text_and_keep_promises() {
    let secrets: Api<Secret> = Api::default_namespaced(server().client(Identity::Admin));
    let secret = from(json!({"metadata": {"name": "s"}, "stringData": {"k": "v"}, "immutable": true}));
    let made = secrets.create(&PostParams::default(), &secret).await.unwrap();
    assert_eq!(made.data.unwrap()["k"].0, b"v");
    assert_eq!(made.type_.as_deref(), Some("Opaque"));
    let change = secrets
        .patch(
            "s",
            &PatchParams::default(),
            &Patch::Merge(json!({"stringData": {"k": "w"}})),
        )
        .await;
    assert!(
        code(change.unwrap_err())
            .1
            .contains("field is immutable when `immutable` is set")
    );
}

#[tokio::test]
async fn events_of_both_groups_are_the_same() {
    let client = server().client(Identity::Admin);
    let newer: Api<k8s_openapi::api::events::v1::Event> = Api::default_namespaced(client.clone());
    let event = from(
        json!({"metadata": {"name": "e"}, "action": "A", "reason": "R", "note": "hello", "type": "Normal",
        "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "c", "reportingInstance": "i",
        "regarding": {"kind": "Pod", "name": "p", "namespace": "default"}}),
    );
    newer.create(&PostParams::default(), &event).await.unwrap();
    let core: Api<k8s_openapi::api::core::v1::Event> = Api::default_namespaced(client);
    let seen = core
        .list(&ListParams::default().fields("involvedObject.name=p"))
        .await
        .unwrap()
        .items
        .remove(0);
    assert_eq!(seen.message.as_deref(), Some("hello"));
    assert_eq!(
        newer.get("e").await.unwrap().regarding.unwrap().name.as_deref(),
        Some("p")
    );
}

#[tokio::test]
async fn a_controller_runs_on_it() {
    let (_server, widgets) = with_widgets().await;
    let kind = widget_kind();
    let context = Arc::new(widgets.clone());
    let controller = Controller::new_with(
        widgets.clone(),
        watcher::Config::default().streaming_lists(),
        kind,
    );
    let running = tokio::spawn(
        controller
            .run(
                |object, widgets: Arc<Api<DynamicObject>>| async move {
                    let name = object.metadata.name.clone().unwrap();
                    let status = json!({"status": {"phase": "Seen"}});
                    widgets
                        .patch_status(&name, &PatchParams::default(), &Patch::Merge(&status))
                        .await?;
                    Ok::<_, kube::Error>(Action::await_change())
                },
                |_, _, _| Action::requeue(Duration::from_secs(1)),
                context,
            )
            .for_each(|_| async {}),
    );
    for name in ["a", "b"] {
        widgets
            .create(&PostParams::default(), &widget(name, json!({"color": "red"})))
            .await
            .unwrap();
    }
    tokio::time::timeout(LIMIT, async {
        for name in ["a", "b"] {
            while widgets.get(name).await.unwrap().data["status"]["phase"] != "Seen" {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    })
    .await
    .unwrap();
    running.abort();
}

#[tokio::test]
async fn deployments_get_their_defaults() {
    let deployments: Api<Deployment> = Api::default_namespaced(server().client(Identity::Admin));
    let spec = json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {
        "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}}});
    let made = deployments
        .create(&PostParams::default(), &from(spec))
        .await
        .unwrap()
        .spec;
    assert_eq!(
        (made.replicas, made.progress_deadline_seconds),
        (Some(1), Some(600))
    );
    assert_eq!(made.strategy.unwrap().type_.as_deref(), Some("RollingUpdate"));
    let scaled = deployments
        .patch_scale(
            "d",
            &PatchParams::default(),
            &Patch::Merge(json!({"spec": {"replicas": 4}})),
        )
        .await;
    assert_eq!(scaled.unwrap().spec.unwrap().replicas, Some(4));
    assert_eq!(deployments.get("d").await.unwrap().spec.replicas, Some(4));
}
