//! What the built-in kinds demand beyond their schema: defaults that tools rely on, the checks that catch mistakes,
//! and fields that may not change.

pub(crate) mod defaults;
mod immutable;
mod names;
mod pods;
pub(crate) mod validation;

#[cfg(test)]
mod tests;
