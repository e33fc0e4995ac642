//! The shapes of events, frozen in a file: what was stored stays readable, or a test fails.

mod lock;
mod shape;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use chrono::DateTime;
use schemars::JsonSchema;
use serde_json::Value;

use self::lock::{Lock, Sample, Shape, Told};
use crate::codec::Codec;
use crate::envelope::RecordedEvent;
use crate::error::{BoxError, DecodeError, DecodeFault};
use crate::event::{Event, EventName, EventType};
use crate::metadata::{EventId, Metadata};
use crate::stream::{Position, StreamId, Version};

/// What asks for the file to be written, if it is `1`.
const UPDATE: &str = "FACTUM_UPDATE_FROZEN";

/// The events of an enum, and the file in which their shapes are frozen.
///
/// The file is committed. It has the name, the aliases, the version and the schema of every event, and payloads of each
/// version with what they are read as today. A test compares it with the program:
///
/// ```
/// # use factum::Event;
/// # use schemars::JsonSchema;
/// # use serde::{Deserialize, Serialize};
/// use factum::testing::Frozen;
///
/// #[derive(Event, Serialize, Deserialize, JsonSchema)]
/// #[event(name = "order.placed")]
/// struct OrderPlaced { customer: String }
///
/// #[derive(Event, Serialize, Deserialize, JsonSchema)]
/// #[event(name = "order.shipped", version = 2, upcast(from = 1, typed = shipped_v1))]
/// struct OrderShipped { parcel: String }
/// # #[derive(Deserialize)]
/// # struct OrderShippedV1 { packet: String }
/// # fn shipped_v1(old: OrderShippedV1) -> OrderShipped { OrderShipped { parcel: old.packet } }
///
/// #[derive(Event)]
/// enum OrderEvent { Placed(OrderPlaced), Shipped(OrderShipped) }
///
/// # /*
/// #[test]
/// # */
/// fn what_was_stored_of_orders_stays_readable() {
///     Frozen::<OrderEvent>::at("tests/order-events.lock")
///         .sample(OrderPlaced { customer: "Ada".into() })
///         .sample(OrderShipped { parcel: "P1".into() })
///         .stored("order.shipped", 1, serde_json::json!({ "packet": "P0" }))
///         .check();
/// }
/// ```
///
/// # What fails, and what helps
///
/// A change that what is stored would not survive fails, and nothing but undoing it helps, or a new version with an upcast: in the
/// same version, a field that is removed where unknown fields are denied, that is new and required, that was optional and is
/// required, or whose type is narrower; a variant that is gone or renamed. A version that is lowered fails, and a name or alias
/// that is not read any more, neither as an event, nor as parts, nor as dropped; and a payload in the file that cannot be
/// read. A tag fails whose key is gone or renamed: decisions that ask by it would miss what is new, or what is stored.
///
/// Every other change fails once, and the test with `FACTUM_UPDATE_FROZEN=1` in its environment writes the file: a new event, a new
/// version, a field that may be missing, a variant more, a sample more; a new tag, which what is stored already does not have; and a
/// stored payload that is read as something else than
/// before, so that whoever reviews the change sees what an upcast does. With `CI` in the environment nothing is ever written.
///
/// # What it does not see
///
/// It knows what schemas say, and the keys of tags: not that the text of a field is another one, which would hide as much. A field that was renamed and has its old name as serde's `alias` is taken for one that is new; give
/// the event a new version. What the code of a type refuses beyond its schema, only the samples show: give some that are at
/// the edge.
#[must_use = "shapes are compared when `check` is called"]
pub struct Frozen<E> {
    path: PathBuf,
    /// By the name of the event: its schema.
    schemas: BTreeMap<&'static str, Value>,
    /// Name, version and payload.
    samples: Vec<(String, u32, Value)>,
    events: PhantomData<fn() -> E>,
}

impl<E: Event> Frozen<E> {
    /// The events of `E`, frozen in the file at `path`, which is relative to the package of the test.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), schemas: BTreeMap::new(), samples: Vec::new(), events: PhantomData }
    }

    /// An event as it is written today. Every event of the enum needs one; several say more about what there may be in it.
    ///
    /// # Panics
    ///
    /// If it cannot be encoded.
    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "an event is written where it is given")]
    pub fn sample<T: Event + JsonSchema>(mut self, event: T) -> Self
    where
        E: From<T>,
    {
        let event_type = event.event_type();
        self.schemas.insert(event_type.name(), shape::of::<T>());
        let payload = value_of(&event).unwrap_or_else(|error| panic!("{}: {error}", event_type.name()));
        self.samples.push((event_type.name().to_owned(), event_type.schema_version(), payload));
        self
    }

    /// A payload that was stored under this name in this version of its shape. Every version before today's needs one, until
    /// the file has it: from when the version was today's, or from here.
    pub fn stored(mut self, name: impl Into<String>, schema_version: u32, payload: Value) -> Self {
        self.samples.push((name.into(), schema_version, payload));
        self
    }

    /// Compares the program with the file.
    ///
    /// # Panics
    ///
    /// If they differ, with all that differs and what to write; if the file is not there, with the command that makes it.
    #[track_caller]
    pub fn check(self) {
        let is_asked = std::env::var_os(UPDATE).is_some_and(|value| value == "1");
        let is_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
        if let Err(text) = self.outcome(is_asked && !is_ci) {
            panic!("{text}");
        }
    }

    /// As [`check`](Frozen::check), with the answer to whether the file may be written. For tests of this very helper: nobody
    /// else may wave a change through.
    ///
    /// # Errors
    ///
    /// What [`check`](Frozen::check) panics with.
    #[doc(hidden)]
    pub fn outcome(self, may_update: bool) -> Result<(), String> {
        let command = format!("{UPDATE}=1 cargo test {}", std::thread::current().name().unwrap_or_default());
        let path = self.path.display().to_string();
        let (known, is_new) = match std::fs::read_to_string(&self.path) {
            Ok(text) => {
                let lock = Lock::parse(&text).map_err(|error| format!("{path} cannot be read: {error}"))?;
                (lock, false)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => (Lock::empty(), true),
            Err(error) => return Err(format!("{path} cannot be read: {error}")),
        };
        let Findings { now, broken, changed } = self.compare(&known);
        if !broken.is_empty() {
            let broken = broken.join("\n- ");
            return Err(format!("what is stored would not be read any more, see {path}:\n- {broken}"));
        }
        if changed.is_empty() && !is_new && known == now {
            return Ok(());
        }
        if may_update {
            return write(&self.path, &now).map_err(|error| format!("{path} cannot be written: {error}"));
        }
        if is_new {
            return Err(format!(
                "there is no {path}, in which the shapes of events are frozen: `{command}` makes it; commit it"
            ));
        }
        let changed = if changed.is_empty() { "its form".to_owned() } else { changed.join("\n- ") };
        Err(format!(
            "{path} is not what the program has:\n- {changed}\nif that is meant, `{command}` writes it; commit it"
        ))
    }

    fn compare(&self, known: &Lock) -> Findings {
        let mut found = Findings { now: Lock::empty(), broken: Vec::new(), changed: Vec::new() };
        found.now.dropped = E::DROPPED.iter().map(ToString::to_string).collect();
        for event_type in E::TYPES {
            self.freeze(event_type, known, &mut found);
        }
        names_stay_readable::<E>(known, &mut found);
        parts_keep_tags::<E>(known, &mut found);
        if known.dropped != found.now.dropped {
            found.changed.push(format!("what is dropped: {:?}", found.now.dropped));
        }
        self.read_samples(known, &mut found);
        for event_type in E::TYPES {
            every_version_has_a_sample(event_type, event_type, &mut found);
        }
        found
    }

    /// One event as it is, beside the ones in the file that it was.
    fn freeze(&self, event_type: &EventType, known: &Lock, found: &mut Findings) {
        let name = event_type.name();
        let Some(schema) = self.schemas.get(name) else {
            found.broken.push(format!("{name} has no sample: write `.sample(..)` with one of it"));
            return;
        };
        let split_from = event_type.names().filter(|name| event_type.is_part_of(name));
        let shape = Shape {
            version: event_type.schema_version(),
            aliases: event_type.aliases().iter().map(ToString::to_string).collect(),
            split_from: split_from.map(ToOwned::to_owned).collect(),
            tags: event_type.tag_keys().iter().map(ToString::to_string).collect(),
            schema: schema.clone(),
        };
        let were = known.events.iter().filter(|(name, _)| event_type.is_named(name));
        for (_, was) in were {
            found.broken.extend(was.tags.difference(&shape.tags).map(|tag| lost_tag(name, tag)));
            let (then, now) = (was.version, shape.version);
            if now < then {
                found.broken.push(format!(
                    "{name} was at version {then} and is at {now}: write `version = {then}`, or a greater one"
                ));
            } else if now == then {
                let breaks = shape::breaks(&was.schema, schema);
                if !breaks.is_empty() {
                    let (next, breaks) = (now + 1, breaks.join("; "));
                    found.broken.push(format!(
                        "{name} has changed within version {now}: {breaks}. Write `version = {next}, upcast(from = {now}, with \
                         = ..)`"
                    ));
                }
            }
        }
        match known.events.get(name) {
            None => {
                found.changed.push(format!("{name} is new, or has a new name"));
                let olds = known.events.iter().filter(|(old, _)| event_type.is_found_as(old));
                found.changed.extend(
                    olds.filter_map(|(_, old)| new_tags(old, &shape)).map(|new| format!("{name}: {new}")),
                );
            }
            Some(was) if *was != shape => found.changed.push(changes(name, was, &shape)),
            Some(_) => {}
        }
        found.now.events.insert(name.to_owned(), shape);
    }

    /// Every payload in the file, and those that are given now, as they are read today.
    fn read_samples(&self, known: &Lock, found: &mut Findings) {
        for (name, versions) in &known.samples {
            for (version, samples) in versions {
                for was in samples {
                    read_sample::<E>(name, *version, &was.stored, Some(&was.today), found);
                }
            }
        }
        for (name, version, stored) in &self.samples {
            let samples = found.now.samples.get(name).and_then(|versions| versions.get(version));
            if !samples.is_some_and(|samples| samples.iter().any(|sample| sample.stored == *stored)) {
                read_sample::<E>(name, *version, stored, None, found);
            }
        }
    }
}

impl<E> fmt::Debug for Frozen<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frozen").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What the comparison comes to.
struct Findings {
    /// What the file is to be.
    now: Lock,
    /// What may not be.
    broken: Vec<String>,
    /// What may be, if somebody says so.
    changed: Vec<String>,
}

/// A name that was ever written is in a store for ever.
fn names_stay_readable<E: Event>(known: &Lock, found: &mut Findings) {
    let mut names: BTreeSet<&str> = known.dropped.iter().map(String::as_str).collect();
    for (name, shape) in &known.events {
        names.insert(name);
        names.extend(shape.aliases.iter().chain(&shape.split_from).map(String::as_str));
    }
    names.extend(known.samples.keys().map(String::as_str));
    for name in names {
        let is_read =
            E::TYPES.iter().any(|event_type| event_type.is_found_as(name)) || E::DROPPED.contains(&name);
        if !is_read {
            found.broken.push(format!(
                "{name} is not read any more: write `alias = \"{name}\"` on the event that it is today, `split(from = .., with = \
                 ..)` on its parts, or `dropped(\"{name}\")` on the enum"
            ));
        }
    }
}

/// Reads a payload, which was read as `was` before.
fn read_sample<E: Event>(
    name: &str,
    version: u32,
    stored: &Value,
    was: Option<&[Told]>,
    found: &mut Findings,
) {
    let today = match told_today::<E>(name, version, stored) {
        Ok(today) => today,
        Err(error) => {
            // That the name is not read is said once.
            if was.is_none() || !matches!(error.fault, DecodeFault::UnknownName) {
                found.broken.push(unreadable(name, version, stored, &error));
            }
            return;
        }
    };
    match was {
        None => found.changed.push(format!("a sample of {name} in version {version} is new: {stored}")),
        Some(was) if was != today => found.changed.push(format!(
            "what was stored of {name} in version {version} is read as something else: {stored} was {}, and is {}",
            text_of(was),
            text_of(&today)
        )),
        Some(_) => {}
    }
    let versions = found.now.samples.entry(name.to_owned()).or_default();
    versions.entry(version).or_default().push(Sample { stored: stored.clone(), today });
}

/// An upcast that was never tried is a guess.
fn every_version_has_a_sample(of: &EventType, event_type: &EventType, found: &mut Findings) {
    let has = |version: u32| {
        let named = found.now.samples.iter().filter(|(name, _)| event_type.is_named(name));
        named.flat_map(|(_, versions)| versions.keys()).any(|sample| *sample == version)
    };
    let last = if of == event_type { event_type.schema_version() - 1 } else { event_type.schema_version() };
    let missing: Vec<_> = (1..=last).filter(|version| !has(*version)).collect();
    let name = event_type.name();
    for version in missing {
        let missing = format!(
            "{name} has no sample of version {version}: write `.stored(\"{name}\", {version}, json!(..))` with a payload that was \
             stored"
        );
        if !found.broken.contains(&missing) {
            found.broken.push(missing);
        }
    }
    for source in event_type.sources() {
        every_version_has_a_sample(of, source, found);
    }
}

fn changes(name: &str, was: &Shape, is: &Shape) -> String {
    let mut changes = Vec::new();
    if was.version != is.version {
        changes.push(format!("version {} is {} now", was.version, is.version));
    } else if was.schema != is.schema {
        changes.push("its shape is another one, which reads what was stored before".to_owned());
    }
    if was.aliases != is.aliases {
        changes.push(format!("aliases {:?}", is.aliases));
    }
    changes.extend(new_tags(was, is));
    if was.split_from != is.split_from {
        changes.push(format!("split from {:?}", is.split_from));
    }
    format!("{name}: {}", changes.join(", "))
}

/// What is stored has the tag for ever, and what is new would not: whoever asks by it would see half of what happened.
fn lost_tag(name: &str, tag: &str) -> String {
    format!(
        "{name} has no tag `{tag}` any more, by which what is stored is found: write `#[event(tag = \"{tag}\")]` on a field; or, if \
         nobody asks by it any more, take it out of the file by hand"
    )
}

/// The tags that what is stored does not have.
fn new_tags(was: &Shape, is: &Shape) -> Option<String> {
    let new: Vec<_> = is.tags.difference(&was.tags).collect();
    (!new.is_empty()).then(|| {
        format!(
            "tags {new:?} are new, which what is stored already does not have: whoever asks by them does not find it"
        )
    })
}

/// Where an event was split, one of its parts at least goes on with each of its tags.
fn parts_keep_tags<E: Event>(known: &Lock, found: &mut Findings) {
    let is_split = |name: &str| !E::TYPES.iter().any(|event_type| event_type.is_named(name));
    for (name, was) in known.events.iter().filter(|(name, _)| is_split(name)) {
        let parts: Vec<_> = E::TYPES.iter().filter(|event_type| event_type.is_part_of(name)).collect();
        // One without parts is dropped, or said to be unreadable.
        for tag in was.tags.iter().filter(|_| !parts.is_empty()) {
            if !parts.iter().any(|part| part.tag_keys().contains(&tag.as_str())) {
                let parts: Vec<_> = parts.iter().map(|part| part.name()).collect();
                found.broken.push(lost_tag(&format!("{name}, which is {} today,", parts.join(" and ")), tag));
            }
        }
    }
}

fn unreadable(name: &str, version: u32, stored: &Value, error: &DecodeError) -> String {
    let advice = match &error.fault {
        DecodeFault::UnknownName => String::new(),
        DecodeFault::NewerThanProgram { found, .. } => {
            format!(". Write `version = {found}`, or a greater one")
        }
        DecodeFault::Upcast { from, .. } => format!(". The upcast from version {from} has to read it"),
        _ => format!(
            ". Write `version = {}, upcast(from = {version}, with = ..)`, or have an upcast read it",
            version + 1
        ),
    };
    let source = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    format!(
        "what was stored of {name} in version {version} cannot be read: {stored}: {}{source}{advice}",
        error.fault
    )
}

fn told_today<E: Event>(name: &str, version: u32, stored: &Value) -> Result<Vec<Told>, DecodeError> {
    let recorded = RecordedEvent {
        id: EventId::new(),
        stream: StreamId::new("frozen", "sample").expect("a good name"),
        version: Version(1),
        position: Position(1),
        // The name may be one that no event can have: then nothing is read under it.
        name: EventName::new(name.to_owned()).unwrap_or(EventName::reserved("factum.no_name")),
        schema_version: version,
        codec: Codec::Json.name().into(),
        payload: stored.to_string().into(),
        metadata: Metadata::default(),
        recorded_at: DateTime::UNIX_EPOCH,
    };
    let told = |event: E| {
        let payload = value_of(&event).map_err(|error| {
            let fault = DecodeFault::Payload(format!("what it is read as cannot be written: {error}").into());
            crate::upcast::fault_of(&recorded, fault)
        })?;
        Ok(Told { event: event.event_type().name().to_owned(), payload })
    };
    E::decode_all(&recorded)?.into_iter().map(told).collect()
}

fn value_of(event: &impl Event) -> Result<Value, BoxError> {
    Ok(serde_json::from_slice(&event.encode(Codec::Json)?)?)
}

fn text_of(today: &[Told]) -> String {
    if today.is_empty() {
        return "nothing".to_owned();
    }
    today.iter().map(|told| format!("{} {}", told.event, told.payload)).collect::<Vec<_>>().join(" and ")
}

/// The same file, written anew.
pub(crate) fn lock_as_written(text: &str) -> Result<String, serde_json::Error> {
    Ok(Lock::parse(text)?.text())
}

/// Writes all of the file or nothing: what is under samples is nowhere else.
fn write(path: &Path, lock: &Lock) -> Result<(), std::io::Error> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    std::fs::write(&beside, lock.text())?;
    std::fs::rename(beside, path)
}
