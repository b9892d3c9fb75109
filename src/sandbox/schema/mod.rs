//! Schemas: what objects of a kind look like. One form serves CRDs and built-in kinds alike, and everything that
//! needs to know the shape of an object walks it: pruning, defaulting, validation, strict field checks, strategic
//! merge patch and server-side apply.
//!
//! The form is compact on purpose. A CRD that embeds a pod spec has tens of thousands of nodes, and as parsed JSON
//! it would alone break the memory the sandbox may use.

pub(crate) mod cel;
pub(crate) mod definitions;
mod markers;
pub(crate) mod prune;
pub(crate) mod slim;
pub(crate) mod structural;
pub(crate) mod validate;

use regex::Regex;
use serde_json::Value;

/// JSON type of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Type {
    /// Not said.
    #[default]
    Any,
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

impl Type {
    fn of(name: &str) -> Self {
        match name {
            "object" => Self::Object,
            "array" => Self::Array,
            "string" => Self::String,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            _ => Self::Any,
        }
    }

    /// As Kubernetes writes it in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }
}

/// How a list merges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ListType {
    /// Replaced as a whole.
    #[default]
    Atomic,
    /// Its values are a set.
    Set,
    /// Its items are told apart by keys.
    Map,
}

/// What fields of an object beyond its `properties` may be.
#[derive(Debug, Clone, Default)]
pub(crate) enum Additional {
    /// None (or those that `preserve` keeps).
    #[default]
    None,
    /// Anything.
    Any,
    /// Values of this schema.
    Schema(Box<Schema>),
}

/// Limits of a node; kept apart because most nodes have none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Limits {
    pub(crate) allowed: Vec<Value>,
    pub(crate) pattern: Option<(String, Option<Regex>)>,
    pub(crate) minimum: Option<f64>,
    pub(crate) maximum: Option<f64>,
    pub(crate) exclusive_minimum: bool,
    pub(crate) exclusive_maximum: bool,
    pub(crate) multiple_of: Option<f64>,
    pub(crate) min_length: Option<u64>,
    pub(crate) max_length: Option<u64>,
    pub(crate) min_items: Option<u64>,
    pub(crate) max_items: Option<u64>,
    pub(crate) unique_items: bool,
    pub(crate) min_properties: Option<u64>,
    pub(crate) max_properties: Option<u64>,
    pub(crate) format: String,
    pub(crate) all_of: Vec<Schema>,
    pub(crate) any_of: Vec<Schema>,
    pub(crate) one_of: Vec<Schema>,
    pub(crate) not: Option<Box<Schema>>,
}

/// How lists and maps merge; kept apart because most nodes are neither.
#[derive(Debug, Clone, Default)]
pub(crate) struct Merging {
    pub(crate) list: ListType,
    /// Keys that tell items of a `Map` list apart (server-side apply).
    pub(crate) keys: Vec<String>,
    /// The key strategic merge patch uses; "" for lists of values that merge as sets.
    pub(crate) patch_key: Option<String>,
    /// The map or struct is replaced as a whole by server-side apply.
    pub(crate) atomic_map: bool,
    /// Strategic merge patch replaces fields it does not name (`retainKeys`).
    pub(crate) retain_keys: bool,
}

/// A node of a schema.
#[derive(Debug, Clone, Default)]
pub(crate) struct Schema {
    pub(crate) kind: Type,
    pub(crate) nullable: bool,
    /// `x-kubernetes-preserve-unknown-fields`.
    pub(crate) preserve: bool,
    /// `x-kubernetes-int-or-string`.
    pub(crate) int_or_string: bool,
    /// `x-kubernetes-embedded-resource`.
    pub(crate) embedded: bool,
    /// Sorted by name.
    pub(crate) properties: Vec<(Box<str>, Schema)>,
    pub(crate) additional: Additional,
    pub(crate) items: Option<Box<Schema>>,
    pub(crate) required: Vec<Box<str>>,
    pub(crate) default: Option<Box<Value>>,
    pub(crate) limits: Option<Box<Limits>>,
    pub(crate) merging: Option<Box<Merging>>,
    /// Name of the built-in type that stands here.
    pub(crate) reference: Option<Box<str>>,
    /// There are defaults in this node or below it.
    pub(crate) has_defaults: bool,
}

impl Schema {
    /// The node itself, or the built-in type it refers to.
    pub(crate) fn resolved(&self) -> &Self {
        match &self.reference {
            Some(name) => definitions::get(name),
            None => self,
        }
    }

    /// The schema of a field, resolved; `None` if the schema says nothing about it.
    pub(crate) fn field(&self, name: &str) -> Option<&Self> {
        if let Ok(index) = self.properties.binary_search_by(|(n, _)| (**n).cmp(name)) {
            return Some(self.properties[index].1.resolved());
        }
        match &self.additional {
            Additional::Schema(schema) => Some(schema.resolved()),
            _ => None,
        }
    }

    /// Whether the field is one of `properties`.
    pub(crate) fn declares(&self, name: &str) -> bool {
        self.properties.binary_search_by(|(n, _)| (**n).cmp(name)).is_ok()
    }

    /// The schema of a list's items, resolved.
    pub(crate) fn item(&self) -> Option<&Self> {
        self.items.as_deref().map(Self::resolved)
    }

    /// Whether unknown fields are allowed in this node.
    pub(crate) fn open(&self) -> bool {
        self.preserve || matches!(self.additional, Additional::Any)
    }

    /// How the list at this node merges.
    pub(crate) fn list_type(&self) -> ListType {
        self.merging.as_ref().map_or(ListType::Atomic, |m| m.list)
    }

    /// The keys of a `Map` list.
    pub(crate) fn list_keys(&self) -> &[String] {
        self.merging.as_ref().map_or(&[], |m| m.keys.as_slice())
    }
}

/// A schema that says nothing.
pub(crate) static ANY: Schema = Schema {
    kind: Type::Any,
    nullable: true,
    preserve: true,
    int_or_string: false,
    embedded: false,
    properties: Vec::new(),
    additional: Additional::Any,
    items: None,
    required: Vec::new(),
    default: None,
    limits: None,
    merging: None,
    reference: None,
    has_defaults: false,
};

#[cfg(test)]
mod tests;
