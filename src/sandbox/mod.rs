//! A small Kubernetes inside this program: an API server, the built-in controllers and a node whose containers are
//! local processes. For trying, teaching, CI and our own tests, never for production. It knows none of the
//! product's kinds and could be lifted out as a crate of its own.
//!
//! The API server, from the socket inwards: `http` (routes, authentication, answers) → `auth` (tokens, RBAC) →
//! `write` (the path every change takes: fields, defaults, admission, managed fields, validation) → `store`
//! (versions, history, log). `kinds` says which kinds there are, `schema` what their objects look like.

mod admission;
mod auth;
pub mod controllers;
mod http;
mod kinds;
pub mod kubelet;
pub mod lifecycle;
pub mod node;
mod object;
mod patch;
mod proto;
mod request;
mod rules;
mod schema;
mod selectors;
mod server;
mod status;
mod store;
mod table;
mod tls;
mod write;

pub use server::{Identity, Options, Server};
