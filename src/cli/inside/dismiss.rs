//! Sends readers away: after a rotation they hold a password that opens nothing any more, and whoever interrupts one wants
//! nothing left behind.
//!
//! A reader that is told to leave answers the questions that it has been put first. Everything here is best effort: a
//! reader that does not hear ends by itself, a little later.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use tokio::time::{Instant, sleep, timeout};

use super::pod::{self, Place, PodView};
use super::talk::Talk;
use crate::api::config::reader::{LIVES, REQUEST_ANNOTATION};
use crate::api::labels::{self, component};
use crate::api::storage::Repository;
use crate::cluster::{Cluster, Error, ListOptions, kinds};
use crate::decide::backup::label;
use crate::reader::op::{Op, Request};

/// How long one reader may take to hear it.
const HEARD: Duration = Duration::from_secs(5);
/// A Job this young may not have its pod yet, in seconds.
const YOUNG: i64 = 15;

/// Sends all readers of the Repositories (namespace and name) away, and waits so long for those that only start.
pub async fn readers(cluster: &Cluster, repositories: &[(String, String)], within: Duration) {
    let deadline = Instant::now() + within;
    let mut told: BTreeSet<(String, String)> = BTreeSet::new();
    for (namespace, name) in repositories {
        while let Ok(true) = some_start(cluster, namespace, name, &mut told).await {
            if Instant::now() > deadline {
                break;
            }
            sleep(pod::EVERY).await;
        }
    }
}

/// Tells those that run. Answers whether one is about to.
async fn some_start(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    told: &mut BTreeSet<(String, String)>,
) -> Result<bool, Error> {
    let repository: Repository = cluster.get(&kinds::REPOSITORY, Some(namespace), name).await?;
    let mut starts = repository.annotations().contains_key(REQUEST_ANNOTATION);
    let answer = pod::answered(&repository).filter(|answer| !answer.job.is_empty());
    let mut places = BTreeSet::from([namespace]);
    places.extend(answer.as_ref().map(|answer| answer.namespace.as_str()));
    let selector = [
        (labels::COMPONENT, component::READER.to_owned()),
        (labels::INVOKER_NAMESPACE, label(namespace)),
        (labels::INVOKER_NAME, label(name)),
    ]
    .map(|(key, value)| format!("{key}={value}"))
    .join(",");
    let mut jobs = BTreeSet::new();
    for place in places {
        let options = ListOptions::of(place).labelled(selector.clone());
        for pod in cluster.list::<PodView>(&kinds::POD, &options).await? {
            jobs.extend(pod.job().map(ToOwned::to_owned));
            let known = (place.to_owned(), pod.name().to_owned());
            if pod.runs() && !told.contains(&known) {
                leave(cluster, &Place::of(&known.0, &known.1)).await;
                told.insert(known);
            } else {
                starts |= pod.starts();
            }
        }
    }
    let young =
        |until: Timestamp| until.duration_since(Timestamp::now()).as_secs() > i64::from(LIVES) - YOUNG;
    starts |= answer.is_some_and(|a| a.until.is_some_and(young) && !jobs.contains(&a.job));
    Ok(starts)
}

async fn leave(cluster: &Cluster, place: &Place) {
    let request = Request {
        component_path: String::new(),
        op: Op::Leave,
    };
    let mut nothing = Vec::new();
    let said = async {
        if let Ok(mut talk) = Talk::over_exec(cluster, place, &request).await {
            // Whether it was heard changes nothing here.
            let _ = talk.hear(false, &mut nothing).await;
        }
    };
    let _ = timeout(HEARD, said).await;
}
