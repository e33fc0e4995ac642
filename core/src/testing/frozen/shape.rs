//! Whether a shape reads what an earlier one has written: the rules, on JSON schemas as `schemars` derives them.
//!
//! Both shapes are those that are read, so the earlier one stands for everything that may have been stored while it grew: a field
//! with a default may be missing in old payloads, although it is written today.

use std::collections::BTreeSet;
use std::fmt::Display;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

/// A schema, or a part of one that has one form: no union, and no reference.
type Schema = Map<String, Value>;

/// What schemas say to people and not to readers.
const WORDS: [&str; 9] = [
    "$schema",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "$comment",
];
/// Keys whose value is a schema for each name.
const BY_NAME: [&str; 3] = ["properties", "$defs", "patternProperties"];

/// The shape in which payloads of `T` are read.
pub(super) fn of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().for_deserialize().with(|settings| {
        // Names of Rust types are free to change.
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    without_words(settings.into_generator().into_root_schema_for::<T>().to_value())
}

/// The schema without what is said to people, in the order of its keys.
fn without_words(schema: Value) -> Value {
    match schema {
        Value::Object(keys) => {
            let kept = keys.into_iter().filter(|(key, _)| !WORDS.contains(&key.as_str()));
            sorted(kept.map(|(key, value)| {
                let value = match value {
                    Value::Object(schemas) if BY_NAME.contains(&key.as_str()) => {
                        sorted(schemas.into_iter().map(|(name, schema)| (name, without_words(schema))))
                    }
                    // What may stand there is no schema. Its order, and that of fields, is free to change.
                    Value::Array(mut values) if key == "enum" || key == "required" => {
                        values.sort_by_key(ToString::to_string);
                        Value::Array(values)
                    }
                    value if key == "const" => value,
                    value => without_words(value),
                };
                (key, value)
            }))
        }
        Value::Array(schemas) => schemas.into_iter().map(without_words).collect(),
        value => value,
    }
}

/// `serde_json` may keep the order in which keys came, if anybody in the build wants it to.
fn sorted(keys: impl Iterator<Item = (String, Value)>) -> Value {
    let mut keys: Vec<_> = keys.collect();
    keys.sort_by(|(left, _), (right, _)| left.cmp(right));
    Value::Object(keys.into_iter().collect())
}

/// What the new shape does not read of what the old one has; nothing, if it reads all of it.
pub(super) fn breaks(old: &Value, new: &Value) -> Vec<String> {
    let mut comparison = Comparison { old, new, going_on: BTreeSet::new() };
    comparison.breaks("", old, new)
}

struct Comparison<'a> {
    old: &'a Value,
    new: &'a Value,
    /// The pairs that are compared already: types may contain themselves.
    going_on: BTreeSet<(String, String)>,
}

impl Comparison<'_> {
    fn breaks(&mut self, at: &str, old: &Value, new: &Value) -> Vec<String> {
        let pair = (old.to_string(), new.to_string());
        if !self.going_on.insert(pair.clone()) {
            return Vec::new();
        }
        let (old_forms, new_forms) = (forms(self.old, old), forms(self.new, new));
        let found = old_forms.iter().flat_map(|old| self.form_breaks(at, old, &new_forms)).collect();
        self.going_on.remove(&pair);
        found
    }

    /// Every form that may have been written is read by one of the new ones.
    fn form_breaks(&mut self, at: &str, old: &Schema, new: &[Schema]) -> Vec<String> {
        let all: Vec<_> = new.iter().map(|new| (new, self.simple_breaks(at, old, new))).collect();
        if all.iter().any(|(_, breaks)| breaks.is_empty()) {
            return Vec::new();
        }
        if let Some(label) = label(old)
            && new.iter().any(|new| self::label(new).is_some())
        {
            let same = all.into_iter().find(|(new, _)| self::label(new).as_ref() == Some(&label));
            return same.map_or_else(|| vec![said(at, format!("`{label}` is gone"))], |(_, breaks)| breaks);
        }
        let same = all.into_iter().find(|(new, _)| kind(new) == kind(old));
        same.map_or_else(|| vec![said(at, other_kind(old, new))], |(_, breaks)| breaks)
    }

    fn simple_breaks(&mut self, at: &str, old: &Schema, new: &Schema) -> Vec<String> {
        if new.is_empty() {
            return Vec::new();
        }
        let is_read = match (kind(old), kind(new)) {
            (Some("integer"), Some("number")) => true,
            (old, new) => old == new,
        };
        if !is_read {
            return vec![said(at, other_kind(old, std::slice::from_ref(new)))];
        }
        let mut found = Vec::new();
        if let Some(allowed) = new.get("const")
            && old.get("const") != Some(allowed)
        {
            found.push(said(at, format!("is always {allowed} now")));
        }
        found.extend(match kind(new) {
            Some("object") => self.object_breaks(at, old, new),
            Some("array") => self.array_breaks(at, old, new),
            Some("string") => text_breaks(at, old, new),
            Some("integer" | "number") => number_breaks(at, old, new),
            _ => Vec::new(),
        });
        found
    }

    fn object_breaks(&mut self, at: &str, old: &Schema, new: &Schema) -> Vec<String> {
        let mut found = Vec::new();
        let none = Map::new();
        let fields = |schema: &'_ Schema| schema.get("properties").and_then(Value::as_object).cloned();
        let (old_fields, new_fields) =
            (fields(old).unwrap_or_else(|| none.clone()), fields(new).unwrap_or_else(|| none.clone()));
        let was_required = required(old);
        for name in required(new).difference(&was_required) {
            let field = inside(at, name);
            found.push(if old_fields.contains_key(name) {
                said(&field, "was optional, and is required".to_owned())
            } else {
                said(&field, "is new, and required: stored payloads have none".to_owned())
            });
        }
        let others = new.get("additionalProperties").or_else(|| new.get("unevaluatedProperties"));
        for (name, old) in &old_fields {
            let field = inside(at, name);
            match (new_fields.get(name), others) {
                (Some(new), _) => found.extend(self.breaks(&field, old, new)),
                (None, Some(Value::Bool(false))) => {
                    found.push(said(&field, "was removed, and unknown fields are denied".to_owned()));
                }
                (None, Some(values)) => found.extend(self.breaks(&field, old, values)),
                (None, None) => {}
            }
        }
        if let Some(values @ Value::Object(_)) = old.get("additionalProperties") {
            match others {
                Some(Value::Bool(true)) => {}
                Some(now @ Value::Object(_)) => found.extend(self.breaks(&inside(at, "*"), values, now)),
                _ => found.push(said(at, "was a map".to_owned())),
            }
        }
        found
    }

    fn array_breaks(&mut self, at: &str, old: &Schema, new: &Schema) -> Vec<String> {
        let mut found = Vec::new();
        let count = |schema: &Schema, key| schema.get(key).and_then(Value::as_u64);
        if count(new, "minItems").unwrap_or(0) > count(old, "minItems").unwrap_or(0) {
            found.push(said(at, "has more items at least".to_owned()));
        }
        if count(new, "maxItems").unwrap_or(u64::MAX) < count(old, "maxItems").unwrap_or(u64::MAX) {
            found.push(said(at, "has less items at most".to_owned()));
        }
        let (old_items, new_items) = (items(old), items(new));
        let fixed = old_items.0.len().max(new_items.0.len());
        let each = inside_items(at);
        for index in 0..fixed {
            let item =
                |(fixed, rest): &(Vec<Value>, Option<Value>)| fixed.get(index).or(rest.as_ref()).cloned();
            if let (Some(old), Some(new)) = (item(&old_items), item(&new_items)) {
                found.extend(self.breaks(&format!("{at}[{index}]"), &old, &new));
            }
        }
        if let (Some(old), Some(new)) = (&old_items.1, &new_items.1) {
            found.extend(self.breaks(&each, old, new));
        }
        found
    }
}

fn items(schema: &Schema) -> (Vec<Value>, Option<Value>) {
    let fixed = schema.get("prefixItems").and_then(Value::as_array).cloned().unwrap_or_default();
    // Of a tuple, there is no rest; of any other list without a word, everything may be in it.
    let any = if fixed.is_empty() { Some(Value::Bool(true)) } else { None };
    (fixed, schema.get("items").cloned().or(any))
}

fn text_breaks(at: &str, old: &Schema, new: &Schema) -> Vec<String> {
    let mut found = Vec::new();
    for (key, what) in [("format", "form"), ("pattern", "pattern")] {
        if let Some(now) = new.get(key)
            && old.get(key) != Some(now)
        {
            let was = old.get(key).map_or_else(|| "any text".to_owned(), ToString::to_string);
            // What has one value has its form.
            if !old.contains_key("const") {
                found.push(said(at, format!("was {was}, and has the {what} {now}")));
            }
        }
    }
    let length = |schema: &Schema, key| schema.get(key).and_then(Value::as_u64);
    let is_longer = length(new, "minLength").unwrap_or(0) > length(old, "minLength").unwrap_or(0);
    let is_shorter =
        length(new, "maxLength").unwrap_or(u64::MAX) < length(old, "maxLength").unwrap_or(u64::MAX);
    if (is_longer || is_shorter) && !old.contains_key("const") {
        found.push(said(at, "may have fewer lengths".to_owned()));
    }
    found
}

fn number_breaks(at: &str, old: &Schema, new: &Schema) -> Vec<String> {
    let format = |schema: &Schema| schema.get("format").and_then(Value::as_str).map(ToOwned::to_owned);
    if kind(old) == Some("number") {
        return match (format(old).as_deref(), format(new).as_deref()) {
            (Some("double") | None, Some("float")) => vec![said(at, "is less precise".to_owned())],
            _ => Vec::new(),
        };
    }
    if kind(new) == Some("number") {
        return Vec::new();
    }
    let (was, is) = (range(old), range(new));
    if is.0 <= was.0 && was.1 <= is.1 {
        return Vec::new();
    }
    let name = |schema: &Schema| format(schema).unwrap_or_else(|| "any whole number".to_owned());
    vec![said(at, format!("was {}, and is {}", name(old), name(new)))]
}

/// The least and the greatest whole number that is read.
fn range(schema: &Schema) -> (i128, i128) {
    let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
    let (least, greatest) = match format {
        "int8" => (i8::MIN.into(), i8::MAX.into()),
        "int16" => (i16::MIN.into(), i16::MAX.into()),
        "int32" => (i32::MIN.into(), i32::MAX.into()),
        "int64" | "int" => (i64::MIN.into(), i64::MAX.into()),
        "uint8" => (0, u8::MAX.into()),
        "uint16" => (0, u16::MAX.into()),
        "uint32" => (0, u32::MAX.into()),
        "uint64" | "uint" => (0, u64::MAX.into()),
        "uint128" => (0, i128::MAX),
        _ => (i128::MIN, i128::MAX),
    };
    let bound = |key: &str| {
        let number = schema.get(key)?;
        number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
    };
    (
        bound("minimum").map_or(least, |min| min.max(least)),
        bound("maximum").map_or(greatest, |max| max.min(greatest)),
    )
}

fn required(schema: &Schema) -> BTreeSet<String> {
    let names = schema.get("required").and_then(Value::as_array);
    names.into_iter().flatten().filter_map(Value::as_str).map(ToOwned::to_owned).collect()
}

fn kind(schema: &Schema) -> Option<&str> {
    let written = schema.get("type").and_then(Value::as_str);
    written.or_else(|| match schema.get("const") {
        Some(Value::String(_)) => Some("string"),
        Some(Value::Bool(_)) => Some("boolean"),
        Some(Value::Number(_)) => Some("integer"),
        Some(Value::Null) => Some("null"),
        _ => schema.contains_key("properties").then_some("object"),
    })
}

fn other_kind(old: &Schema, new: &[Schema]) -> String {
    let word = |schema: &Schema| match kind(schema) {
        Some("object") => "an object",
        Some("array") => "a list",
        Some("string") => "text",
        Some("integer") => "a whole number",
        Some("number") => "a number",
        Some("boolean") => "true or false",
        Some("null") => "nothing",
        _ => "anything",
    };
    let now: BTreeSet<_> = new.iter().map(word).collect();
    let now: Vec<_> = now.into_iter().collect();
    match (kind(old), now.is_empty()) {
        (Some("null"), _) => "was optional, and is not".to_owned(),
        (_, true) => "cannot be read any more".to_owned(),
        _ => format!("was {}, and is {}", word(old), now.join(" or ")),
    }
}

/// Which variant of an enum the form is, however serde writes that.
fn label(form: &Schema) -> Option<String> {
    if let Some(Value::String(name)) = form.get("const") {
        return Some(name.clone());
    }
    let fields = form.get("properties").and_then(Value::as_object)?;
    let tag = fields.values().find_map(|field| field.get("const").and_then(Value::as_str));
    if let Some(tag) = tag {
        return Some(tag.to_owned());
    }
    let is_alone = fields.len() == 1 && form.get("additionalProperties") == Some(&Value::Bool(false));
    fields.keys().next().filter(|name| is_alone && required(form).contains(*name)).cloned()
}

/// The forms that a schema allows, each without unions and references. Nothing is allowed by `false`.
fn forms(root: &Value, schema: &Value) -> Vec<Schema> {
    let mut schema = match schema {
        Value::Object(schema) => schema.clone(),
        Value::Bool(false) => return Vec::new(),
        // Anything.
        _ => return vec![Map::new()],
    };
    if let Some(Value::String(path)) = schema.remove("$ref") {
        let target = root.pointer(path.trim_start_matches('#')).cloned().unwrap_or(Value::Bool(true));
        return all_of(root, &schema, &[target]);
    }
    if let Some(Value::Array(parts)) = schema.remove("allOf") {
        return all_of(root, &schema, &parts);
    }
    for union in ["oneOf", "anyOf"] {
        if let Some(Value::Array(parts)) = schema.remove(union) {
            return parts.iter().flat_map(|part| all_of(root, &schema, std::slice::from_ref(part))).collect();
        }
    }
    if let Some(Value::Array(values)) = schema.remove("enum") {
        let one = |value| {
            let mut form = schema.clone();
            form.insert("const".to_owned(), value);
            if kind_of(&form["const"]) == Some("null") {
                form.insert("type".to_owned(), "null".into());
            } else if let Some(Value::Array(_)) = form.get("type") {
                form.remove("type");
            }
            form
        };
        return values.into_iter().map(one).collect();
    }
    if let Some(Value::Array(kinds)) = schema.get("type").cloned() {
        let one = |kind| {
            let mut form = schema.clone();
            form.insert("type".to_owned(), kind);
            form
        };
        return kinds.into_iter().map(one).collect();
    }
    vec![schema]
}

fn kind_of(value: &Value) -> Option<&'static str> {
    value.is_null().then_some("null")
}

/// The forms that are as all of these say.
fn all_of(root: &Value, base: &Schema, parts: &[Value]) -> Vec<Schema> {
    let mut all = forms(root, &Value::Object(base.clone()));
    for part in parts {
        let forms = forms(root, part);
        all = all.iter().flat_map(|one| forms.iter().map(|other| both(one, other))).collect();
    }
    all
}

fn both(one: &Schema, other: &Schema) -> Schema {
    let mut both = one.clone();
    for (key, value) in other {
        match (key.as_str(), both.get_mut(key), value) {
            ("properties", Some(Value::Object(fields)), Value::Object(more)) => fields.extend(more.clone()),
            ("required", Some(Value::Array(names)), Value::Array(more)) => names.extend(more.clone()),
            _ => {
                both.insert(key.clone(), value.clone());
            }
        }
    }
    both
}

fn inside(at: &str, field: &str) -> String {
    if at.is_empty() { field.to_owned() } else { format!("{at}.{field}") }
}

fn inside_items(at: &str) -> String {
    format!("{at}[]")
}

fn said(at: &str, what: impl Display) -> String {
    if at.is_empty() { format!("it {what}") } else { format!("`{at}` {what}") }
}
