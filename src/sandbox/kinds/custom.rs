//! Kinds declared by CustomResourceDefinitions.

use kube::core::cel::{CompiledSchema, compile_schema};
use serde_json::{Value, json};

use super::{Resource, STORED_VERBS, ScalePaths, Source};
use crate::sandbox::object;
use crate::sandbox::schema::{Schema, slim};

/// A column of the table kubectl prints.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// integer, number, string, boolean or date.
    pub(crate) kind: String,
    pub(crate) format: String,
    pub(crate) description: String,
    /// 0 is always shown, more only with `-o wide`.
    pub(crate) priority: i64,
    /// Where the value is, as `.spec.x`.
    pub(crate) path: String,
}

/// One served version of a CRD.
pub(crate) struct Custom {
    pub(crate) schema: Schema,
    /// The CEL rules, if the schema has any.
    pub(crate) rules: Option<CompiledSchema>,
    pub(crate) columns: Vec<Column>,
    /// JSON paths fields of which field selectors may name.
    pub(crate) selectable: Vec<String>,
    /// The warning that answers to requests for a deprecated version carry.
    pub(crate) deprecation: Option<String>,
    /// Name of the CRD.
    pub(crate) definition: String,
}

impl std::fmt::Debug for Custom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Custom")
            .field("definition", &self.definition)
            .finish_non_exhaustive()
    }
}

/// Group and plural name a CRD declares.
pub(super) fn names(crd: &Value) -> (String, String) {
    (
        object::text(crd, &["spec", "group"]).to_owned(),
        object::text(crd, &["spec", "names", "plural"]).to_owned(),
    )
}

/// The kinds a CRD serves, one per served version.
pub(super) fn resources(crd: &Value) -> Vec<Resource> {
    object::list(crd, &["spec", "versions"])
        .iter()
        .filter(|v| v["served"] == json!(true))
        .map(|version| resource(crd, version))
        .collect()
}

fn resource(crd: &Value, version: &Value) -> Resource {
    let names = &crd["spec"]["names"];
    let text = |field: &str| object::text(names, &[field]).to_owned();
    let strings = |field: &str| -> Vec<String> {
        object::list(names, &[field])
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    let scale = version["subresources"]
        .get("scale")
        .filter(|s| s.is_object())
        .map(|scale| ScalePaths {
            spec: path(object::text(scale, &["specReplicasPath"])),
            status: path(object::text(scale, &["statusReplicasPath"])),
            selector: scale["labelSelectorPath"].as_str().map(path),
        });
    Resource {
        group: object::text(crd, &["spec", "group"]).to_owned(),
        version: object::text(version, &["name"]).to_owned(),
        kind: text("kind"),
        list_kind: text("listKind"),
        plural: text("plural"),
        singular: text("singular"),
        short_names: strings("shortNames"),
        categories: strings("categories"),
        namespaced: crd["spec"]["scope"] == json!("Namespaced"),
        status: version["subresources"]
            .get("status")
            .is_some_and(Value::is_object),
        scale,
        verbs: STORED_VERBS,
        source: Source::Custom(std::sync::Arc::new(custom(crd, version))),
    }
}

fn custom(crd: &Value, version: &Value) -> Custom {
    let raw = &version["schema"]["openAPIV3Schema"];
    let mut schema = Schema::of_crd(raw);
    if crd["spec"]["preserveUnknownFields"] == json!(true) {
        schema.preserve = true;
    }
    let deprecated = version["deprecated"] == json!(true);
    Custom {
        rules: slim::with_rules(raw).map(|s| compile_schema(&s)),
        schema,
        columns: columns(version),
        selectable: object::list(version, &["selectableFields"])
            .iter()
            .filter_map(|f| f["jsonPath"].as_str())
            .map(|p| p.trim_start_matches('.').to_owned())
            .collect(),
        deprecation: deprecated.then(|| match version["deprecationWarning"].as_str() {
            Some(text) => text.to_owned(),
            None => format!(
                "{}/{} {} is deprecated",
                object::text(crd, &["spec", "group"]),
                object::text(version, &["name"]),
                object::text(crd, &["spec", "names", "kind"])
            ),
        }),
        definition: object::name(crd).to_owned(),
    }
}

fn columns(version: &Value) -> Vec<Column> {
    let text = |c: &Value, field: &str| object::text(c, &[field]).to_owned();
    let declared: Vec<Column> = object::list(version, &["additionalPrinterColumns"])
        .iter()
        .map(|c| Column {
            name: text(c, "name"),
            kind: text(c, "type"),
            format: text(c, "format"),
            description: text(c, "description"),
            priority: c["priority"].as_i64().unwrap_or(0),
            path: text(c, "jsonPath"),
        })
        .collect();
    if !declared.is_empty() {
        return declared;
    }
    vec![Column {
        name: "Age".into(),
        kind: "date".into(),
        format: String::new(),
        description: "Time since the object was created".into(),
        priority: 0,
        path: ".metadata.creationTimestamp".into(),
    }]
}

fn path(text: &str) -> Vec<String> {
    text.split('.')
        .filter(|p| !p.is_empty())
        .map(str::to_owned)
        .collect()
}
