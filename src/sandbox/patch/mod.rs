//! The four kinds of patches, and who manages which field.
//!
//! - JSON patch and merge patch are generic.
//! - Strategic merge patch knows the merge keys of Kubernetes' own types.
//! - Server-side apply merges what one manager wants into the object and remembers that it does.

pub(crate) mod apply;
pub(crate) mod fieldset;
pub(crate) mod managed;
pub(crate) mod merge;
pub(crate) mod strategic;

#[cfg(test)]
mod tests;
