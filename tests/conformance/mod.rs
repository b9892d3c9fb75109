//! The API against what KubeStash published: its resource definitions and the objects in its documentation.
//!
//! The published material is not part of this repository. It is looked for in `../shared/conformance` and where
//! `KUBESTASH_CONFORMANCE` points; without it these tests say so and pass. What we generate from our own types (the
//! definitions in `manifests/crds` and the reference in `docs`) is checked in any case.

pub(crate) mod documents;

mod fields;
mod generated;
mod objects;
mod reference;
mod rules;
mod schema;
