//! Questions to answers to manifests.
