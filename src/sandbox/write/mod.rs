//! The path every change takes. In order: the fields are checked against the schema and pruned, system metadata is
//! set, defaults are filled in, mutating admission runs, managed fields are worked out, the object is validated,
//! validating admission runs, and the store takes it, on exactly the version it was made from.

mod create;
mod delete;
mod fields;
mod metadata;
mod update;

use std::sync::Arc;

use serde_json::Value;

pub(crate) use create::create;
pub(crate) use delete::{DeleteOptions, Deleted, delete};
pub(crate) use fields::FieldValidation;
pub(crate) use update::{Change, update};

use super::auth::User;
use super::kinds::Resource;
use super::server::Api;
use super::status::{ApiError, ApiResult};
use super::store::WriteError;

/// Who changes what, how.
pub(crate) struct Call<'a> {
    pub(crate) api: &'a Api,
    pub(crate) resource: Arc<Resource>,
    pub(crate) subresource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) user: User,
    pub(crate) dry_run: bool,
    pub(crate) field_validation: FieldValidation,
    /// Field manager of the change.
    pub(crate) manager: String,
    /// Collected `Warning` headers of the answer.
    pub(crate) warnings: Vec<String>,
}

/// Checks and prunes what a client applies, before it is merged into anything.
pub(crate) fn check_fields(
    call: &mut Call<'_>,
    mut object: Value,
    duplicates: &[String],
) -> ApiResult<Value> {
    fields::check(call, &mut object, duplicates)?;
    Ok(object)
}

impl Call<'_> {
    /// A refusal that names the object.
    pub(crate) fn not_found(&self) -> ApiError {
        ApiError::not_found(&self.resource.group, &self.resource.plural, &self.name)
    }

    /// The object as it is now.
    pub(crate) fn current(&self) -> ApiResult<Arc<Value>> {
        self.api
            .store
            .get(&self.resource.storage(), &self.namespace, &self.name)
            .ok_or_else(|| self.not_found())
    }

    /// What a refused write means to the client.
    fn refused(&self, error: WriteError) -> ApiError {
        let (group, plural) = (&self.resource.group, &self.resource.plural);
        match error {
            WriteError::Exists => ApiError::already_exists(group, plural, &self.name),
            WriteError::Missing => self.not_found(),
            WriteError::Conflict => ApiError::modified(group, plural, &self.name),
            WriteError::Io(error) => ApiError::internal(format!("the state could not be written: {error}")),
        }
    }

    /// Adds a warning once.
    pub(crate) fn warn(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !self.warnings.contains(&text) {
            self.warnings.push(text);
        }
    }
}
