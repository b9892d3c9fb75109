//! A small Kubernetes inside this program: an API server, the built-in controllers and a node whose containers are
//! local processes. For trying, teaching, CI and our own tests, never for production. It knows none of the
//! product's kinds and could be lifted out as a crate of its own.

pub mod kubelet;
pub mod node;
