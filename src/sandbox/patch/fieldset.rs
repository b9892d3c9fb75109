//! Sets of fields, in the form `managedFields` writes them (`fieldsV1`), and what they have to do with objects.
//!
//! A set is a tree. Its steps are written as in `fieldsV1`: `f:NAME` is a field, `k:{…}` the item of a list with
//! those keys, `v:VALUE` a member of a set. A node that is itself in the set is `owned`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::sandbox::schema::{ANY, ListType, Schema};

/// A set of fields below some point.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FieldSet {
    /// The point itself is in the set.
    pub(crate) owned: bool,
    pub(crate) children: BTreeMap<String, FieldSet>,
}

impl FieldSet {
    /// A set of the point alone.
    pub(crate) fn leaf() -> Self {
        Self {
            owned: true,
            children: BTreeMap::new(),
        }
    }

    /// Reads `fieldsV1`.
    pub(crate) fn parse(fields: &Value) -> Self {
        let mut set = Self::default();
        for (step, below) in fields.as_object().into_iter().flatten() {
            if step == "." {
                set.owned = true;
                continue;
            }
            let mut child = Self::parse(below);
            if child.children.is_empty() {
                child.owned = true;
            }
            set.children.insert(step.clone(), child);
        }
        set
    }

    /// Writes `fieldsV1`.
    pub(crate) fn to_value(&self) -> Value {
        let mut out = Map::new();
        for (step, child) in &self.children {
            let mut below = child.to_value();
            if child.owned && !child.children.is_empty() {
                below["."] = json!({});
            }
            out.insert(step.clone(), below);
        }
        Value::Object(out)
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.owned && self.children.values().all(Self::is_empty)
    }

    fn tidy(mut self) -> Self {
        self.children.retain(|_, child| !child.is_empty());
        self
    }

    /// What is in either.
    pub(crate) fn union(&self, other: &Self) -> Self {
        let mut out = self.clone();
        out.owned |= other.owned;
        for (step, child) in &other.children {
            let merged = out
                .children
                .get(step)
                .map_or_else(|| child.clone(), |own| own.union(child));
            out.children.insert(step.clone(), merged);
        }
        out
    }

    /// What is in this one and not in the other.
    pub(crate) fn minus(&self, other: &Self) -> Self {
        let children = self.children.iter().map(|(step, child)| {
            let left = other
                .children
                .get(step)
                .map_or_else(|| child.clone(), |gone| child.minus(gone));
            (step.clone(), left)
        });
        Self {
            owned: self.owned && !other.owned,
            children: children.collect(),
        }
        .tidy()
    }

    /// What is in both.
    pub(crate) fn both(&self, other: &Self) -> Self {
        let children = self
            .children
            .iter()
            .filter_map(|(step, child)| Some((step.clone(), child.both(other.children.get(step)?))));
        Self {
            owned: self.owned && other.owned,
            children: children.collect(),
        }
        .tidy()
    }

    /// The fields as people read them: `.spec.template.spec.containers[name="a"].image`.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.collect(&mut String::new(), &mut out);
        out
    }

    fn collect(&self, path: &mut String, out: &mut Vec<String>) {
        if self.owned {
            out.push(path.clone());
        }
        for (step, child) in &self.children {
            let length = path.len();
            path.push_str(&shown(step));
            child.collect(path, out);
            path.truncate(length);
        }
    }
}

fn shown(step: &str) -> String {
    if let Some(name) = step.strip_prefix("f:") {
        return format!(".{name}");
    }
    if let Some(keys) = step.strip_prefix("k:") {
        let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
        let pairs: Vec<String> = keys.iter().map(|(k, v)| format!("{k}={v}")).collect();
        return format!("[{}]", pairs.join(","));
    }
    format!(
        "[{}]",
        step.strip_prefix("v:")
            .map_or(step, |v| v)
            .replacen('"', "=\"", 1)
            .trim_start_matches('=')
    )
}

/// How the value at a node is looked at.
pub(crate) enum Shape<'a> {
    /// As a whole.
    Leaf,
    /// Field by field.
    Fields(&'a Map<String, Value>),
    /// Item by item; each item has its step.
    Items(Vec<(String, &'a Value)>),
}

/// How managed fields look at a value of a schema.
pub(crate) fn shape<'a>(value: &'a Value, schema: &Schema) -> Shape<'a> {
    let atomic = schema.merging.as_ref().is_some_and(|m| m.atomic_map);
    match value {
        Value::Object(map) if !atomic && !map.is_empty() => Shape::Fields(map),
        Value::Array(items) if !items.is_empty() => {
            let steps: Option<Vec<_>> = match schema.list_type() {
                ListType::Atomic => None,
                ListType::Set => Some(items.iter().map(|v| (format!("v:{v}"), v)).collect()),
                ListType::Map => items.iter().map(|v| Some((key_step(v, schema)?, v))).collect(),
            };
            steps.map_or(Shape::Leaf, Shape::Items)
        }
        _ => Shape::Leaf,
    }
}

/// The step of a list item: its keys. Keys that are absent take the default Kubernetes gives them.
pub(crate) fn key_step(item: &Value, schema: &Schema) -> Option<String> {
    let mut keys = Map::new();
    for key in schema.list_keys() {
        let default = || {
            let own = schema
                .item()
                .and_then(|i| i.field(key))
                .and_then(|f| f.default.as_deref().cloned());
            own.or_else(|| (key == "protocol").then(|| json!("TCP")))
        };
        if let Some(value) = item.get(key).cloned().or_else(default) {
            keys.insert(key.clone(), value);
        }
    }
    (!keys.is_empty()).then(|| format!("k:{}", Value::Object(keys)))
}

/// All fields of an object.
pub(crate) fn of(value: &Value, schema: &Schema) -> FieldSet {
    match shape(value, schema) {
        Shape::Leaf => FieldSet::leaf(),
        Shape::Fields(map) => FieldSet {
            owned: false,
            children: map
                .iter()
                .map(|(name, value)| (format!("f:{name}"), of(value, schema.field(name).unwrap_or(&ANY))))
                .collect(),
        },
        Shape::Items(items) => {
            let item_schema = schema.item().unwrap_or(&ANY);
            let children = items.into_iter().map(|(step, value)| {
                let mut below = of(value, item_schema);
                below.owned = true;
                (step, below)
            });
            FieldSet {
                owned: false,
                children: children.collect(),
            }
        }
    }
}

/// The fields that differ: those that are new or have another value, and those that are gone.
pub(crate) fn difference(old: Option<&Value>, new: Option<&Value>, schema: &Schema) -> (FieldSet, FieldSet) {
    let mut changed = FieldSet::default();
    let mut gone = FieldSet::default();
    compare(old, new, schema, &mut changed, &mut gone);
    (changed.tidy_deep(), gone.tidy_deep())
}

impl FieldSet {
    fn tidy_deep(self) -> Self {
        let children = self
            .children
            .into_iter()
            .map(|(s, c)| (s, c.tidy_deep()))
            .collect();
        Self {
            owned: self.owned,
            children,
        }
        .tidy()
    }
}

fn compare(
    old: Option<&Value>,
    new: Option<&Value>,
    schema: &Schema,
    changed: &mut FieldSet,
    gone: &mut FieldSet,
) {
    match (old, new) {
        (None, None) => {}
        (None, Some(new)) => *changed = of(new, schema),
        (Some(old), None) => *gone = of(old, schema),
        (Some(old), Some(new)) if old == new => {}
        (Some(old), Some(new)) => match (shape(old, schema), shape(new, schema)) {
            (Shape::Fields(a), Shape::Fields(b)) => {
                let names = a.keys().chain(b.keys().filter(|k| !a.contains_key(*k)));
                for name in names {
                    let step = format!("f:{name}");
                    let field = schema.field(name).unwrap_or(&ANY);
                    step_into(step, a.get(name), b.get(name), field, changed, gone);
                }
            }
            (Shape::Items(a), Shape::Items(b)) => {
                let item = schema.item().unwrap_or(&ANY);
                let find =
                    |list: &[(String, &'_ Value)], step: &str| list.iter().position(|(s, _)| s == step);
                for (step, value) in &a {
                    let other = find(&b, step).map(|i| b[i].1);
                    step_into(step.clone(), Some(value), other, item, changed, gone);
                    if other.is_none() {
                        gone.children.entry(step.clone()).or_default().owned = true;
                    }
                }
                for (step, value) in b.iter().filter(|(s, _)| find(&a, s).is_none()) {
                    step_into(step.clone(), None, Some(value), item, changed, gone);
                    changed.children.entry(step.clone()).or_default().owned = true;
                }
            }
            (Shape::Leaf, Shape::Leaf) => changed.owned = true,
            _ => {
                *changed = of(new, schema);
                *gone = of(old, schema).minus(changed);
            }
        },
    }
}

fn step_into(
    step: String,
    old: Option<&Value>,
    new: Option<&Value>,
    schema: &Schema,
    changed: &mut FieldSet,
    gone: &mut FieldSet,
) {
    let (mut below_changed, mut below_gone) = (FieldSet::default(), FieldSet::default());
    compare(old, new, schema, &mut below_changed, &mut below_gone);
    if !below_changed.is_empty() {
        changed.children.insert(step.clone(), below_changed);
    }
    if !below_gone.is_empty() {
        gone.children.insert(step, below_gone);
    }
}
