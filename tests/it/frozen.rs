//! Frozen shapes: for each rule an event as it was and as it is, on files of their own.

#![expect(
    clippy::needless_pass_by_value,
    reason = "a typed step takes the old version, whatever it needs of it"
)]

use std::path::PathBuf;

use factum::Event;
use factum::testing::Frozen;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder for one file.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("events.lock")
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.path()).unwrap()
    }

    fn frozen<E: Event>(&self) -> Frozen<E> {
        Frozen::at(self.path())
    }
}

/// What comes of a change: `None` if nothing has changed.
#[derive(Debug, PartialEq)]
enum Change {
    Refused(String),
    Noted(String),
}

/// What the test says of `is` where `was` is frozen. A change that is refused cannot be waved through, and leaves the file as
/// it was; one that is noted is written when that is asked for, and is no change after that.
fn change<W: Event, I: Event>(
    was: impl Fn(Frozen<W>) -> Frozen<W>,
    is: impl Fn(Frozen<I>) -> Frozen<I>,
) -> Option<Change> {
    let folder = Folder::new();
    was(folder.frozen()).outcome(true).unwrap();
    was(folder.frozen()).outcome(false).unwrap();
    let before = folder.text();
    let Err(told) = is(folder.frozen()).outcome(false) else {
        assert_eq!(folder.text(), before);
        return None;
    };
    assert_eq!(folder.text(), before, "nothing is written unless that is asked for");
    match is(folder.frozen()).outcome(true) {
        Ok(()) => {
            is(folder.frozen()).outcome(false).unwrap();
            assert_ne!(folder.text(), before);
            assert!(told.contains("FACTUM_UPDATE_FROZEN=1 cargo test "), "{told}");
            Some(Change::Noted(told))
        }
        Err(again) => {
            assert_eq!(again, told);
            assert_eq!(folder.text(), before, "what is refused is not written");
            Some(Change::Refused(told))
        }
    }
}

#[track_caller]
fn assert_refused(change: Option<Change>, words: &[&str]) {
    let Some(Change::Refused(told)) = change else { panic!("it is not refused: {change:?}") };
    assert!(words.iter().all(|words| told.contains(words)), "{told}");
}

#[track_caller]
fn assert_noted(change: Option<Change>, words: &[&str]) {
    let Some(Change::Noted(told)) = change else { panic!("it is not noted: {change:?}") };
    assert!(words.iter().all(|words| told.contains(words)), "{told}");
}

/// Two events of one name, before and after, and what comes of it.
macro_rules! pair {
    (
        { $(#[$was_attr:meta])* $was:ident $was_body:tt $was_sample:expr }
        { $(#[$is_attr:meta])* $is:ident $is_body:tt $is_sample:expr }
    ) => {{
        mod was {
            use super::*;
            #[derive(Event, Serialize, Deserialize, JsonSchema)]
            $(#[$was_attr])*
            pub(super) struct $was $was_body
        }
        mod is {
            use super::*;
            #[derive(Event, Serialize, Deserialize, JsonSchema)]
            $(#[$is_attr])*
            pub(super) struct $is $is_body
        }
        change::<was::$was, is::$is>(
            |frozen| frozen.sample({ use was::*; $was_sample }),
            |frozen| frozen.sample({ use is::*; $is_sample }),
        )
    }};
}

// ---- What is refused -------------------------------------------------------------------------------------------

#[derive(Serialize, Deserialize, JsonSchema, Clone, PartialEq, Debug)]
pub(crate) struct Line {
    quantity: u32,
}

#[test]
fn a_field_that_is_removed_where_unknown_ones_are_denied_is_refused() {
    let change = pair! {
        { #[event(name = "a.b")] #[serde(deny_unknown_fields)]
          Placed { pub(super) one: u8, pub(super) two: u8 } Placed { one: 1, two: 2 } }
        { #[event(name = "a.b")] #[serde(deny_unknown_fields)] Placed { pub(super) one: u8 } Placed { one: 1 } }
    };
    assert_refused(
        change,
        &[
            "a.b has changed within version 1: `two` was removed, and unknown fields are denied",
            "Write `version = 2, upcast(from = 1, with = ..)`",
        ],
    );
}

#[test]
fn a_field_that_is_new_and_required_is_refused() {
    let change = pair! {
        { #[event(name = "a.b")] Placed { pub(super) one: u8 } Placed { one: 1 } }
        { #[event(name = "a.b")] Placed { pub(super) one: u8, pub(super) two: u8 } Placed { one: 1, two: 2 } }
    };
    assert_refused(change, &["`two` is new, and required", "version = 2, upcast(from = 1"]);
}

#[test]
fn a_field_that_is_renamed_is_refused() {
    let change = pair! {
        { #[event(name = "a.b")] Placed { pub(super) one: u8 } Placed { one: 1 } }
        { #[event(name = "a.b")] Placed { pub(super) uno: u8 } Placed { uno: 1 } }
    };
    assert_refused(change, &["`uno` is new, and required"]);
}

#[test]
fn a_tag_that_is_gone_or_renamed_is_refused() {
    let renamed = pair! {
        { #[event(name = "a.b")] Seen { #[event(tag)] pub(super) one: u8, pub(super) two: u8 } Seen { one: 1, two: 2 } }
        { #[event(name = "a.b")] Seen { #[event(tag = "uno")] pub(super) one: u8, pub(super) two: u8 } Seen { one: 1, two: 2 } }
    };
    assert_refused(renamed, &["a.b has no tag `one` any more", "write `#[event(tag = \"one\")]` on a field"]);
    let gone = pair! {
        { #[event(name = "a.b")] Seen { #[event(tag)] pub(super) one: u8 } Seen { one: 1 } }
        { #[event(name = "a.c", alias = "a.b")] Seen { pub(super) one: u8 } Seen { one: 1 } }
    };
    assert_refused(gone, &["a.c has no tag `one` any more"]);
}

#[derive(Event, Serialize, Deserialize, JsonSchema)]
#[event(name = "a.sent")]
struct Sent {
    #[event(tag)]
    parcel: u8,
    #[event(tag)]
    order: u8,
}

#[test]
fn a_tag_that_no_part_of_a_split_event_keeps_is_refused() {
    #[derive(Event, Serialize, Deserialize, JsonSchema)]
    #[event(name = "a.packed", split(from = Sent, with = packed))]
    struct Packed {
        #[event(tag)]
        order: u8,
    }
    #[derive(Event, Serialize, Deserialize, JsonSchema)]
    #[event(name = "a.handed_over", split(from = Sent, with = handed_over))]
    struct HandedOver {
        #[event(tag = "box")]
        parcel: u8,
    }
    fn packed(old: Sent) -> Packed {
        Packed { order: old.order }
    }
    fn handed_over(old: Sent) -> HandedOver {
        HandedOver { parcel: old.parcel }
    }
    #[derive(Event)]
    enum Split {
        Packed(Packed),
        HandedOver(HandedOver),
    }
    let change = change::<Sent, Split>(
        |frozen| frozen.sample(Sent { parcel: 1, order: 2 }),
        |frozen| frozen.sample(Packed { order: 2 }).sample(HandedOver { parcel: 1 }),
    );
    let Some(Change::Refused(told)) = change else { panic!("{change:?}") };
    assert!(
        told.contains("a.sent, which is a.packed and a.handed_over today, has no tag `parcel` any more"),
        "{told}"
    );
    assert!(!told.contains("`order`"), "a part keeps it: {told}");
}

#[test]
fn a_tag_more_under_a_new_name_is_noted_as_well() {
    let change = pair! {
        { #[event(name = "a.b")] Seen { pub(super) one: u8 } Seen { one: 1 } }
        { #[event(name = "a.c", alias = "a.b")] Seen { #[event(tag)] pub(super) one: u8 } Seen { one: 1 } }
    };
    assert_noted(change, &["a.c is new, or has a new name", "a.c: tags [\"one\"] are new"]);
}

#[test]
fn a_tag_more_is_noted_with_what_does_not_have_it() {
    let change = pair! {
        { #[event(name = "a.b")] Seen { #[event(tag)] pub(super) one: u8, pub(super) two: u8 } Seen { one: 1, two: 2 } }
        { #[event(name = "a.b")] Seen { #[event(tag)] pub(super) one: u8, #[event(tags = "all")] pub(super) two: Option<u8> }
          Seen { one: 1, two: None } }
    };
    assert_noted(change, &["a.b: ", "tags [\"all\"] are new, which what is stored already does not have"]);
}

#[test]
fn a_field_that_was_optional_and_is_required_is_refused() {
    let change = pair! {
        { #[event(name = "a.b")] Placed { pub(super) one: Option<u8> } Placed { one: Some(1) } }
        { #[event(name = "a.b")] Placed { pub(super) one: u8 } Placed { one: 1 } }
    };
    assert_refused(change, &["`one` was optional, and is required"]);
    let change = pair! {
        { #[event(name = "a.b")] Placed { #[serde(default)] pub(super) one: u8 } Placed { one: 1 } }
        { #[event(name = "a.b")] Placed { pub(super) one: u8 } Placed { one: 1 } }
    };
    assert_refused(change, &["`one` was optional, and is required"]);
    let change = pair! {
        { #[event(name = "a.b")] Placed { pub(super) one: Option<u8> } Placed { one: Some(1) } }
        { #[event(name = "a.b")] Placed { #[serde(default)] pub(super) one: u8 } Placed { one: 1 } }
    };
    assert_refused(change, &["`one` was optional, and is not"]);
}

#[test]
fn a_type_that_is_narrower_is_refused() {
    macro_rules! narrowed {
        ($was:ty, $was_value:expr => $is:ty, $is_value:expr) => {
            pair! {
                { #[event(name = "a.b")] Placed { pub(super) one: $was } Placed { one: $was_value } }
                { #[event(name = "a.b")] Placed { pub(super) one: $is } Placed { one: $is_value } }
            }
        };
    }
    assert_refused(narrowed!(u64, 1 => u32, 1), &["`one` was uint64, and is uint32"]);
    assert_refused(narrowed!(i32, 1 => u32, 1), &["`one` was int32, and is uint32"]);
    assert_refused(narrowed!(u8, 1 => std::num::NonZeroU8, std::num::NonZeroU8::MIN), &["`one` was uint8"]);
    assert_refused(narrowed!(f64, 0.5 => u32, 1), &["`one` was a number, and is a whole number"]);
    assert_refused(narrowed!(f64, 0.5 => f32, 0.5), &["`one` is less precise"]);
    assert_refused(narrowed!(String, "1".into() => u32, 1), &["`one` was text, and is a whole number"]);
    assert_refused(narrowed!(String, "1".into() => char, '1'), &["`one` may have fewer lengths"]);
    assert_refused(narrowed!(Value, json!(1) => u32, 1), &["`one` was anything, and is a whole number"]);
    assert_refused(narrowed!(Vec<u8>, vec![1] => u8, 1), &["`one` was a list, and is a whole number"]);
    assert_refused(narrowed!(Vec<u64>, vec![1] => Vec<u8>, vec![1]), &["`one[]` was uint64, and is uint8"]);
    assert_refused(narrowed!(Vec<u8>, vec![1] => [u8; 1], [1]), &["`one` has more items at least"]);
    assert_refused(narrowed!((u8, u8), (1, 1) => (u8, bool), (1, true)), &["`one[1]` was a whole number"]);
    assert_refused(narrowed!((u8, u8), (1, 1) => (u8,), (1,)), &["`one` has less items at most"]);
    assert_refused(
        narrowed!(std::collections::BTreeMap<String, u64>, [("x".to_owned(), 1)].into()
            => std::collections::BTreeMap<String, u8>, [("x".to_owned(), 1)].into()),
        &["`one.*` was uint64, and is uint8"],
    );
}

#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct NarrowerLine {
    quantity: u8,
}

#[test]
fn what_is_inside_of_a_field_is_looked_at_as_well() {
    let change = pair! {
        { #[event(name = "a.b")] Placed { pub(super) lines: Vec<Option<Line>> }
          Placed { lines: vec![Some(Line { quantity: 1 })] } }
        { #[event(name = "a.b")] Placed { pub(super) lines: Vec<Option<NarrowerLine>> }
          Placed { lines: vec![Some(NarrowerLine { quantity: 1 })] } }
    };
    assert_refused(change, &["`lines[].quantity` was uint32, and is uint8"]);
}

/// A type that contains itself.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Tree {
    leaves: u32,
    #[serde(default)]
    branches: Vec<Tree>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct NarrowerTree {
    leaves: u8,
    #[serde(default)]
    branches: Vec<NarrowerTree>,
}

#[test]
fn a_type_that_contains_itself_is_looked_at_once() {
    let change = pair! {
        { #[event(name = "a.b")] Placed { pub(super) tree: Tree }
          Placed { tree: Tree { leaves: 1, branches: vec![] } } }
        { #[event(name = "a.b")] Placed { pub(super) tree: NarrowerTree }
          Placed { tree: NarrowerTree { leaves: 1, branches: vec![] } } }
    };
    assert_refused(change, &["`tree.leaves` was uint32, and is uint8"]);
}

macro_rules! enums {
    ($($name:ident $(#[$attr:meta])* { $($body:tt)* })*) => { $(
        #[derive(Serialize, Deserialize, JsonSchema)]
        $(#[$attr])*
        pub(crate) enum $name { $($body)* }
    )* };
}

enums! {
    Unit { Gold, Silver }
    UnitLess { Gold }
    UnitRenamed { Gold, #[serde(rename = "Argent")] Silver }
    UnitMore { Gold, Silver, Bronze }
    Data { Card { number: String }, Cash(u32), Free }
    DataLess { Card { number: String }, Free }
    DataNarrower { Card { number: u32 }, Cash(u32), Free }
    DataMore { Card { number: String, holder: Option<String> }, Cash(u64), Free, Voucher(String) }
    Tagged #[serde(tag = "kind")] { Card { number: String }, Cash { cents: u32 } }
    TaggedLess #[serde(tag = "kind")] { Card { number: String } }
    TaggedNarrower #[serde(tag = "kind")] { Card { number: String }, Cash { cents: u8 } }
    TaggedMore #[serde(tag = "kind")] { Card { number: String }, Cash { cents: u32 }, Free }
    Either #[serde(untagged)] { Number(u32), Text(String) }
    EitherLess #[serde(untagged)] { Number(u32) }
}

macro_rules! retyped {
    ($was:ident, $was_value:expr => $is:ident, $is_value:expr) => {
        pair! {
            { #[event(name = "a.b")] Placed { pub(super) by: $was } Placed { by: $was_value } }
            { #[event(name = "a.b")] Placed { pub(super) by: $is } Placed { by: $is_value } }
        }
    };
}

#[test]
fn a_variant_that_is_gone_or_renamed_is_refused() {
    assert_refused(retyped!(Unit, Unit::Gold => UnitLess, UnitLess::Gold), &["`by` `Silver` is gone"]);
    assert_refused(retyped!(Unit, Unit::Gold => UnitRenamed, UnitRenamed::Gold), &["`by` `Silver` is gone"]);
    assert_refused(retyped!(Data, Data::Free => DataLess, DataLess::Free), &["`by` `Cash` is gone"]);
    let cash = || Tagged::Cash { cents: 1 };
    let card = || TaggedLess::Card { number: "1".into() };
    assert_refused(retyped!(Tagged, cash() => TaggedLess, card()), &["`by` `Cash` is gone"]);
    assert_refused(
        retyped!(Either, Either::Number(1) => EitherLess, EitherLess::Number(1)),
        &["`by` was text"],
    );
}

#[test]
fn a_variant_that_is_narrower_is_refused() {
    let change = retyped!(Data, Data::Free => DataNarrower, DataNarrower::Free);
    assert_refused(change, &["`by.Card.number` was text, and is a whole number"]);
    let change =
        retyped!(Tagged, Tagged::Cash { cents: 1 } => TaggedNarrower, TaggedNarrower::Cash { cents: 1 });
    assert_refused(change, &["`by.cents` was uint32, and is uint8"]);
}

#[derive(Event, Serialize, Deserialize, JsonSchema, Clone)]
#[event(name = "a.paid")]
struct Paid {
    cents: u32,
}

#[derive(Event, Serialize, Deserialize, JsonSchema, Clone)]
#[event(name = "a.paid", alias = "a.payed")]
struct PaidAlias {
    cents: u32,
}

#[derive(Event, Serialize, Deserialize, JsonSchema, Clone)]
#[event(name = "a.settled")]
struct Settled {
    cents: u32,
}

#[derive(Event, Serialize, Deserialize, JsonSchema, Clone)]
#[event(name = "a.settled", alias("a.paid", "a.payed"))]
struct SettledAlias {
    cents: u32,
}

#[derive(Event, Serialize, Deserialize, JsonSchema, Clone)]
#[event(name = "a.paid", version = 2, upcast(from = 1, typed = paid_v1))]
struct PaidV2 {
    euros: u32,
}

fn paid_v1(old: Paid) -> PaidV2 {
    PaidV2 { euros: old.cents / 100 }
}

#[derive(Event, Serialize, Deserialize, JsonSchema, Clone)]
#[event(name = "a.paid", version = 2, upcast(from = 1, typed = paid_v1_otherwise))]
struct PaidV2Otherwise {
    euros: u32,
}

fn paid_v1_otherwise(old: Paid) -> PaidV2Otherwise {
    PaidV2Otherwise { euros: old.cents }
}

#[derive(Event, Serialize, Deserialize, JsonSchema, Clone)]
#[event(name = "a.paid", version = 2, upcast(from = 1, typed = paid_v1_never))]
struct PaidV2Never {
    euros: u32,
}

fn paid_v1_never(_: Paid) -> Result<PaidV2Never, &'static str> {
    Err("who knows")
}

#[derive(Event, Serialize, Deserialize, JsonSchema, Clone)]
#[event(name = "a.paid", version = 2, upcast(from = 1, typed = paid_v1_unchanged))]
struct PaidV2Unchanged {
    cents: u32,
}

fn paid_v1_unchanged(old: Paid) -> PaidV2Unchanged {
    PaidV2Unchanged { cents: old.cents }
}

fn paid<E: Event + From<Paid>>(frozen: Frozen<E>) -> Frozen<E> {
    frozen.sample(Paid { cents: 1200 })
}

#[test]
fn a_name_that_is_not_read_any_more_is_refused() {
    let change = change::<Paid, Settled>(paid, |frozen| frozen.sample(Settled { cents: 1200 }));
    assert_refused(
        change,
        &["a.paid is not read any more: write `alias = \"a.paid\"`", "dropped(\"a.paid\")"],
    );
}

#[test]
fn an_alias_that_is_not_read_any_more_is_refused() {
    let change = change::<PaidAlias, Paid>(|frozen| frozen.sample(PaidAlias { cents: 1200 }), paid);
    assert_refused(change, &["a.payed is not read any more"]);
}

#[test]
fn a_version_that_is_lowered_is_refused() {
    let was = |frozen: Frozen<PaidV2Unchanged>| {
        frozen.sample(PaidV2Unchanged { cents: 1 }).stored("a.paid", 1, json!({ "cents": 1 }))
    };
    let change = change::<PaidV2Unchanged, Paid>(was, paid);
    assert_refused(change, &["a.paid was at version 2 and is at 1: write `version = 2`"]);
}

#[test]
fn a_stored_payload_that_cannot_be_read_is_refused() {
    let change = change::<Paid, PaidV2Never>(paid, |frozen| frozen.sample(PaidV2Never { euros: 1 }));
    let words = ["what was stored of a.paid in version 1 cannot be read: {\"cents\":1200}", "who knows"];
    assert_refused(change, &words);
}

#[test]
fn what_a_type_refuses_beyond_its_schema_is_seen_by_a_sample() {
    #[derive(Serialize, Deserialize)]
    #[serde(try_from = "u32")]
    pub(crate) struct Even(u32);
    impl TryFrom<u32> for Even {
        type Error = &'static str;
        fn try_from(number: u32) -> Result<Self, Self::Error> {
            if number.is_multiple_of(2) { Ok(Self(number)) } else { Err("odd") }
        }
    }
    #[derive(Event, Serialize, Deserialize, JsonSchema)]
    #[event(name = "a.paid")]
    struct PaidEvenly {
        #[schemars(with = "u32")]
        cents: Even,
    }
    let was = |frozen: Frozen<Paid>| frozen.sample(Paid { cents: 3 });
    let change = change::<Paid, PaidEvenly>(was, |frozen| frozen.sample(PaidEvenly { cents: Even(2) }));
    assert_refused(change, &["cannot be read: {\"cents\":3}", "odd"]);
}

#[test]
fn an_event_without_a_sample_is_refused() {
    #[derive(Event)]
    enum Both {
        Paid(Paid),
        Settled(Settled),
    }
    let change = change::<Paid, Both>(paid, |frozen| frozen.sample(Paid { cents: 1 }));
    assert_refused(change, &["a.settled has no sample"]);
    let folder = Folder::new();
    let told = folder.frozen::<Both>().outcome(true).unwrap_err();
    assert!(told.contains("a.paid has no sample") && told.contains("a.settled has no sample"), "{told}");
}

#[test]
fn an_old_version_without_a_sample_is_refused() {
    let folder = Folder::new();
    let frozen = || folder.frozen::<PaidV2>().sample(PaidV2 { euros: 1 });
    let told = frozen().outcome(true).unwrap_err();
    assert!(
        told.contains("a.paid has no sample of version 1: write `.stored(\"a.paid\", 1, json!(..))`"),
        "{told}"
    );
    frozen().stored("a.paid", 1, json!({ "cents": 100 })).outcome(true).unwrap();
    frozen().outcome(false).unwrap();
}

// ---- What is noted ---------------------------------------------------------------------------------------------

#[test]
fn a_field_that_may_be_missing_is_noted() {
    let change = pair! {
        { #[event(name = "a.b")] Placed { pub(super) one: u8 } Placed { one: 1 } }
        { #[event(name = "a.b")] Placed { pub(super) one: u8, pub(super) two: Option<u8> } Placed { one: 1, two: None } }
    };
    assert_noted(change, &["a.b: its shape is another one, which reads what was stored before"]);
    let change = pair! {
        { #[event(name = "a.b")] #[serde(deny_unknown_fields)] Placed { pub(super) one: u8 } Placed { one: 1 } }
        { #[event(name = "a.b")] #[serde(deny_unknown_fields)]
          Placed { pub(super) one: u8, #[serde(default)] pub(super) two: u8 } Placed { one: 1, two: 0 } }
    };
    assert_noted(change, &["a.b: its shape is another one"]);
}

#[test]
fn a_field_that_is_removed_is_noted_with_what_is_lost() {
    let change = pair! {
        { #[event(name = "a.b")] Placed { pub(super) one: u8, pub(super) two: u8 } Placed { one: 1, two: 2 } }
        { #[event(name = "a.b")] Placed { pub(super) one: u8 } Placed { one: 1 } }
    };
    assert_noted(
        change,
        &[
            "is read as something else: {\"one\":1,\"two\":2} was a.b {\"one\":1,\"two\":2}, and is a.b {\"one\":1}",
        ],
    );
}

#[test]
fn a_type_that_is_wider_is_noted() {
    macro_rules! widened {
        ($was:ty, $was_value:expr => $is:ty, $is_value:expr) => {
            assert_noted(
                pair! {
                    { #[event(name = "a.b")] Placed { pub(super) one: $was } Placed { one: $was_value } }
                    { #[event(name = "a.b")] Placed { pub(super) one: $is } Placed { one: $is_value } }
                },
                &["a.b: its shape is another one"],
            )
        };
    }
    widened!(u32, 1 => u64, 1);
    widened!(u32, 1 => i64, 1);
    widened!(u32, 1 => f64, 1.0);
    widened!(u8, 1 => Option<u8>, Some(1));
    widened!(char, '1' => String, "1".into());
    widened!(u32, 1 => Value, json!(1));
    widened!([u8; 1], [1] => Vec<u8>, vec![1]);
    widened!(Unit, Unit::Gold => String, "Gold".into());
    widened!(Unit, Unit::Gold => Option<UnitMore>, Some(UnitMore::Gold));
    widened!(Either, Either::Number(1) => Value, json!(1));
}

#[test]
fn a_variant_more_is_noted() {
    assert_noted(retyped!(Unit, Unit::Gold => UnitMore, UnitMore::Gold), &["its shape is another one"]);
    assert_noted(retyped!(Data, Data::Free => DataMore, DataMore::Free), &["its shape is another one"]);
    let cash = || TaggedMore::Cash { cents: 1 };
    assert_noted(
        retyped!(Tagged, Tagged::Cash { cents: 1 } => TaggedMore, cash()),
        &["its shape is another one"],
    );
    assert_noted(
        retyped!(EitherLess, EitherLess::Number(1) => Either, Either::Number(1)),
        &["its shape is another one"],
    );
}

#[test]
fn a_new_event_is_noted() {
    #[derive(Event)]
    enum Both {
        Paid(Paid),
        Settled(Settled),
    }
    let both = |frozen: Frozen<Both>| frozen.sample(Paid { cents: 1200 }).sample(Settled { cents: 1 });
    assert_noted(change::<Paid, Both>(paid, both), &["a.settled is new"]);
    assert_refused(change::<Both, Paid>(both, paid), &["a.settled is not read any more"]);
}

#[test]
fn a_new_name_is_noted_and_old_payloads_stay() {
    let folder = Folder::new();
    folder.frozen::<PaidAlias>().sample(PaidAlias { cents: 1200 }).outcome(true).unwrap();
    let frozen = || folder.frozen::<SettledAlias>().sample(SettledAlias { cents: 7 });
    let told = frozen().outcome(false).unwrap_err();
    assert!(told.contains("a.settled is new, or has a new name"), "{told}");
    frozen().outcome(true).unwrap();
    let text = folder.text();
    assert!(text.contains("\"cents\": 1200") && text.contains("\"cents\": 7"), "{text}");
}

#[test]
fn a_new_version_is_noted_and_payloads_of_the_old_one_stay() {
    let folder = Folder::new();
    paid(folder.frozen::<Paid>()).outcome(true).unwrap();
    let frozen = || folder.frozen::<PaidV2>().sample(PaidV2 { euros: 5 });
    let told = frozen().outcome(false).unwrap_err();
    assert!(told.contains("a.paid: version 1 is 2 now"), "{told}");
    assert!(
        told.contains("{\"cents\":1200} was a.paid {\"cents\":1200}, and is a.paid {\"euros\":12}"),
        "{told}"
    );
    frozen().outcome(true).unwrap();
    let lock: Value = serde_json::from_str(&folder.text()).unwrap();
    assert_eq!(lock["samples"]["a.paid"]["1"][0]["stored"], json!({ "cents": 1200 }));
    assert_eq!(lock["samples"]["a.paid"]["1"][0]["today"][0]["payload"], json!({ "euros": 12 }));
    assert_eq!(lock["samples"]["a.paid"]["2"][0]["stored"], json!({ "euros": 5 }));
}

#[test]
fn an_upcast_that_changes_its_meaning_is_seen() {
    let folder = Folder::new();
    paid(folder.frozen::<Paid>()).outcome(true).unwrap();
    folder.frozen::<PaidV2>().sample(PaidV2 { euros: 5 }).outcome(true).unwrap();
    let told =
        folder.frozen::<PaidV2Otherwise>().sample(PaidV2Otherwise { euros: 5 }).outcome(false).unwrap_err();
    let words = "{\"cents\":1200} was a.paid {\"euros\":12}, and is a.paid {\"euros\":1200}";
    assert!(told.contains(words), "{told}");
}

#[test]
fn an_event_that_is_split_or_dropped_is_noted_and_its_payloads_stay() {
    #[derive(Event, Serialize, Deserialize, JsonSchema)]
    #[event(name = "a.charged", split(from = Paid, with = charged))]
    struct Charged {
        cents: u32,
    }
    #[derive(Event, Serialize, Deserialize, JsonSchema)]
    #[event(name = "a.thanked", split(from = Paid, with = thanked))]
    struct Thanked {}
    fn charged(old: Paid) -> Charged {
        Charged { cents: old.cents }
    }
    fn thanked(_: Paid) -> [Thanked; 2] {
        [Thanked {}, Thanked {}]
    }
    #[derive(Event)]
    enum Split {
        Thanked(Thanked),
        Charged(Charged),
    }
    #[derive(Event)]
    #[event(dropped("a.paid"))]
    enum Dropped {
        Settled(Settled),
    }
    #[derive(Event)]
    enum Neither {
        Settled(Settled),
    }
    let split = |frozen: Frozen<Split>| frozen.sample(Charged { cents: 1 }).sample(Thanked {});
    let words = "{\"cents\":1200} was a.paid {\"cents\":1200}, and is a.thanked {} and a.thanked {} and a.charged {\"cents\":1200}";
    assert_noted(change::<Paid, Split>(paid, split), &[words]);
    let folder = Folder::new();
    let told = split(folder.frozen()).outcome(true).unwrap_err();
    assert!(told.contains("a.paid has no sample of version 1"), "{told}");

    let dropped = |frozen: Frozen<Dropped>| frozen.sample(Settled { cents: 1 });
    assert_noted(
        change::<Paid, Dropped>(paid, dropped),
        &["what is dropped: {\"a.paid\"}", "and is nothing"],
    );
    let neither = |frozen: Frozen<Neither>| frozen.sample(Settled { cents: 1 });
    assert_refused(change::<Dropped, Neither>(dropped, neither), &["a.paid is not read any more"]);
    assert_refused(
        change::<Split, Neither>(|frozen| split(frozen).stored("a.paid", 1, json!({ "cents": 1 })), neither),
        &["a.paid is not read any more", "a.thanked is not read any more"],
    );
}

#[test]
fn a_sample_more_is_noted_and_one_less_changes_nothing() {
    let two = |frozen: Frozen<Paid>| frozen.sample(Paid { cents: 1200 }).sample(Paid { cents: 0 });
    assert_noted(change::<Paid, Paid>(paid, two), &["a sample of a.paid in version 1 is new: {\"cents\":0}"]);
    assert_eq!(change::<Paid, Paid>(two, paid), None);
}

// ---- What is neither -------------------------------------------------------------------------------------------

#[test]
fn names_of_types_and_words_about_them_are_free() {
    #[derive(Event, Serialize, Deserialize, JsonSchema)]
    #[event(name = "a.paid")]
    struct WasPaid {
        by: Payment,
    }
    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Payment {
        cents: u32,
        title: String,
    }
    /// Somebody has paid.
    #[derive(Event, Serialize, Deserialize, JsonSchema)]
    #[event(name = "a.paid")]
    struct HasPaid {
        /// How.
        by: MeansOfPayment,
    }
    /// What somebody pays with.
    #[derive(Serialize, Deserialize, JsonSchema)]
    #[schemars(title = "Means")]
    struct MeansOfPayment {
        title: String,
        /// How much.
        #[schemars(example = 7)]
        cents: u32,
    }
    let was =
        |frozen: Frozen<WasPaid>| frozen.sample(WasPaid { by: Payment { cents: 1, title: "x".into() } });
    let is = |frozen: Frozen<HasPaid>| {
        frozen.sample(HasPaid { by: MeansOfPayment { title: "x".into(), cents: 1 } })
    };
    assert_eq!(change::<WasPaid, HasPaid>(was, is), None);
    let folder = Folder::new();
    was(folder.frozen()).outcome(true).unwrap();
    assert!(folder.text().contains("\"title\": {"), "a field that is called as a word of schemas is one");
}

// ---- The file --------------------------------------------------------------------------------------------------

#[test]
fn a_missing_file_says_how_to_make_it() {
    let folder = Folder::new();
    let told = paid(folder.frozen::<Paid>()).outcome(false).unwrap_err();
    let command = "`FACTUM_UPDATE_FROZEN=1 cargo test frozen::a_missing_file_says_how_to_make_it` makes it";
    assert!(told.contains(command), "{told}");
    assert!(!folder.path().exists());
}

#[test]
fn a_file_that_is_no_lock_is_not_overwritten() {
    let folder = Folder::new();
    std::fs::write(folder.path(), "<<<<<<< ours").unwrap();
    let told = paid(folder.frozen::<Paid>()).outcome(true).unwrap_err();
    assert!(told.contains("cannot be read"), "{told}");
    assert_eq!(folder.text(), "<<<<<<< ours");
}

#[test]
fn the_file_is_one_that_people_can_review() {
    let folder = Folder::new();
    paid(folder.frozen::<Paid>()).outcome(true).unwrap();
    let expected = r#"{
  "//": "The shapes of stored events. A test writes this file when it is asked to; nobody edits it. What is under samples is never removed.",
  "events": {
    "a.paid": {
      "version": 1,
      "schema": {
        "properties": {
          "cents": {
            "format": "uint32",
            "minimum": 0,
            "type": "integer"
          }
        },
        "required": [
          "cents"
        ],
        "type": "object"
      }
    }
  },
  "samples": {
    "a.paid": {
      "1": [
        {
          "stored": {
            "cents": 1200
          },
          "today": [
            {
              "event": "a.paid",
              "payload": {
                "cents": 1200
              }
            }
          ]
        }
      ]
    }
  }
}
"#;
    assert_eq!(folder.text(), expected);
}

const FILE: &str = "FACTUM_TEST_FROZEN_FILE";

/// Run by the next one in a process of its own, whose environment is its own.
#[test]
#[ignore = "is part of another test"]
fn the_shape_of_paid_is_frozen() {
    paid(Frozen::<Paid>::at(std::env::var(FILE).unwrap())).check();
}

#[test]
fn the_file_is_written_when_that_is_asked_for_and_never_in_ci() {
    let folder = Folder::new();
    let checked = |variables: &[(&str, &str)]| {
        let mut test = std::process::Command::new(std::env::current_exe().unwrap());
        test.args(["--exact", "frozen::the_shape_of_paid_is_frozen", "--ignored"]);
        test.env_remove("CI").env_remove("FACTUM_UPDATE_FROZEN").env(FILE, folder.path());
        test.envs(variables.iter().copied());
        test.output().unwrap().status.success()
    };
    assert!(!checked(&[]));
    assert!(!checked(&[("FACTUM_UPDATE_FROZEN", "1"), ("CI", "true")]));
    assert!(!checked(&[("FACTUM_UPDATE_FROZEN", "0")]));
    assert!(!folder.path().exists());
    assert!(checked(&[("FACTUM_UPDATE_FROZEN", "1")]));
    assert!(folder.path().exists() && checked(&[]) && checked(&[("CI", "true")]));
}
