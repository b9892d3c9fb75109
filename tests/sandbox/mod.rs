//! The sandbox as its users meet it: through kube's client and through the real kubectl.

mod attach;
mod client;
mod cluster;
mod controllers_cluster;
mod controllers_jobs;
mod controllers_storage;
mod controllers_workloads;
mod kubectl;
mod lifecycle;
mod node;
mod refresh;
mod state;
mod streams;
mod webhooks;
