//! An aggregate that lives for years: three versions of one program, of which each reads what those before have stored, on every
//! store, whichever snapshots of whichever age there are.

#![expect(
    clippy::needless_pass_by_value,
    reason = "a typed step takes the old version, whatever it needs of it"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use factum::memory::MemoryStore;
use factum::snapshot::{Footing, Snapshot};
use factum::store::ReadStream;
use factum::transfer::{Export, Transfer, import};
use factum::{
    Aggregate, Context, DecodeFault, Envelope, EventHandler, EventStore, Handle, LoadError, On, OnFailure,
    Progress, Repository, StreamId, Subscription, Version,
};
use serde::Serialize;

use crate::shops;

/// The first year.
mod v1 {
    use factum::{Aggregate, Apply, Event, Events, Handle};
    use serde::{Deserialize, Serialize};

    #[derive(Event, Serialize, Deserialize)]
    #[event(name = "goods.came")]
    pub(super) struct Came {
        pieces: u32,
    }

    #[derive(Event, Serialize, Deserialize)]
    #[event(name = "goods.left")]
    pub(super) struct Left {
        pieces: u32,
    }

    #[derive(Event, Serialize, Deserialize)]
    #[event(name = "goods.looked_at")]
    pub(super) struct LookedAt {}

    #[derive(Event)]
    pub(super) enum GoodsEvent {
        Came(Came),
        Left(Left),
        LookedAt(LookedAt),
    }

    #[derive(Aggregate, Default, Serialize, Deserialize, Clone, Debug, PartialEq)]
    #[aggregate(category = "goods", id = String, event = GoodsEvent, snapshot(when = |_, _| false, version = 1))]
    pub(super) struct Goods {
        pub(super) pieces: u32,
        looks: u32,
    }

    impl Apply<Came> for Goods {
        fn apply(&mut self, event: Came) {
            self.pieces += event.pieces;
        }
    }

    impl Apply<Left> for Goods {
        fn apply(&mut self, event: Left) {
            self.pieces -= event.pieces;
        }
    }

    impl Apply<LookedAt> for Goods {
        fn apply(&mut self, _: LookedAt) {
            self.looks += 1;
        }
    }

    /// So many come, one leaves, and somebody looks.
    pub(super) struct Day(pub(super) u32);

    impl Handle<Day> for Goods {
        type Error = std::convert::Infallible;

        fn handle(&self, Day(pieces): &Day) -> Result<Events<GoodsEvent>, Self::Error> {
            let came = Events::one(Came { pieces: *pieces });
            Ok(came.and(Left { pieces: 1 }).and(LookedAt {}))
        }
    }
}

/// The second: pieces are units, and what leaves is sold.
mod v2 {
    use factum::{Aggregate, Apply, Event, Events, Handle};
    use serde::{Deserialize, Serialize};
    use serde_json::Value;

    use super::v1::LookedAt;

    #[derive(Event, Serialize, Deserialize)]
    #[event(name = "goods.came", version = 2, upcast(from = 1, with = in_units))]
    pub(super) struct Came {
        pub(super) units: u32,
    }

    pub(super) fn in_units(mut old: Value) -> Result<Value, &'static str> {
        let fields = old.as_object_mut().ok_or("no object")?;
        let pieces = fields.remove("pieces").ok_or("no pieces")?;
        fields.insert("units".into(), pieces);
        Ok(old)
    }

    #[derive(Event, Serialize, Deserialize)]
    #[event(name = "goods.sold", alias = "goods.left")]
    pub(super) struct Sold {
        pub(super) pieces: u32,
    }

    #[derive(Event)]
    pub(super) enum GoodsEvent {
        Came(Came),
        Sold(Sold),
        LookedAt(LookedAt),
    }

    #[derive(Aggregate, Default, Serialize, Deserialize, Clone, Debug, PartialEq)]
    #[aggregate(category = "goods", id = String, event = GoodsEvent, snapshot(when = |_, _| false, version = 2))]
    pub(super) struct Goods {
        pub(super) units: u64,
        sold: u64,
    }

    impl Apply<Came> for Goods {
        fn apply(&mut self, event: Came) {
            self.units += u64::from(event.units);
        }
    }

    impl Apply<Sold> for Goods {
        fn apply(&mut self, event: Sold) {
            self.units -= u64::from(event.pieces);
            self.sold += u64::from(event.pieces);
        }
    }

    impl Apply<LookedAt> for Goods {
        fn apply(&mut self, _: LookedAt) {}
    }

    pub(super) struct Day(pub(super) u32);

    impl Handle<Day> for Goods {
        type Error = std::convert::Infallible;

        fn handle(&self, Day(units): &Day) -> Result<Events<GoodsEvent>, Self::Error> {
            Ok(Events::one(Came { units: *units }).and(Sold { pieces: 2 }))
        }
    }
}

/// The third: goods come in lots, what is sold is taken and invoiced, and nobody cares who looked.
mod v3 {
    use factum::{Aggregate, Apply, Event, Events, Handle};
    use serde::{Deserialize, Serialize};

    use super::v2;

    #[derive(Event, Serialize, Deserialize, Debug)]
    #[event(
        name = "goods.came",
        version = 3,
        upcast(from = 1, with = v2::in_units),
        upcast(from = 2, typed = in_a_lot)
    )]
    pub(super) struct Came {
        pub(super) units: u32,
        pub(super) lot: String,
    }

    #[derive(Deserialize)]
    pub(super) struct CameV2 {
        units: u32,
    }

    fn in_a_lot(old: CameV2) -> Came {
        Came { units: old.units, lot: "unknown".into() }
    }

    #[derive(Event, Serialize, Deserialize, Debug)]
    #[event(name = "goods.taken", split(from = v2::Sold, with = taken))]
    pub(super) struct Taken {
        pub(super) units: u32,
    }

    #[derive(Event, Serialize, Deserialize, Debug)]
    #[event(name = "goods.invoiced", split(from = v2::Sold, with = invoiced))]
    pub(super) struct Invoiced {
        pub(super) units: u32,
    }

    fn taken(old: v2::Sold) -> [Taken; 1] {
        [Taken { units: old.pieces }]
    }

    fn invoiced(old: v2::Sold) -> [Invoiced; 1] {
        [Invoiced { units: old.pieces }]
    }

    #[derive(Event, Debug)]
    #[event(dropped("goods.looked_at"))]
    pub(super) enum GoodsEvent {
        Came(Came),
        Taken(Taken),
        Invoiced(Invoiced),
    }

    #[derive(Aggregate, Default, Serialize, Deserialize, Clone, Debug, PartialEq)]
    #[aggregate(category = "goods", id = String, event = GoodsEvent, snapshot(when = |_, _| false, version = 3))]
    pub(super) struct Goods {
        pub(super) units: u64,
        pub(super) invoiced: u64,
        pub(super) lots: Vec<String>,
        /// Said by snapshots alone, and folded from no event: whether one was believed.
        pub(super) is_remembered: bool,
    }

    impl Apply<Came> for Goods {
        fn apply(&mut self, event: Came) {
            self.units += u64::from(event.units);
            self.lots.push(event.lot);
        }
    }

    impl Apply<Taken> for Goods {
        fn apply(&mut self, event: Taken) {
            self.units -= u64::from(event.units);
        }
    }

    impl Apply<Invoiced> for Goods {
        fn apply(&mut self, event: Invoiced) {
            self.invoiced += u64::from(event.units);
        }
    }

    pub(super) struct Day(pub(super) u32);

    impl Handle<Day> for Goods {
        type Error = std::convert::Infallible;

        fn handle(&self, Day(units): &Day) -> Result<Events<GoodsEvent>, Self::Error> {
            let came = Events::one(Came { units: *units, lot: "L1".into() });
            Ok(came.and(Taken { units: 3 }).and(Invoiced { units: 3 }))
        }
    }
}

/// A snapshot, as a program keeps it, or as a disk leaves it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kept {
    No,
    Whole,
    /// Its bytes are no state, and whoever kept it meant them.
    Unreadable,
    /// Its bytes are not those that were kept.
    Damaged,
}

const KEPT: [Kept; 4] = [Kept::No, Kept::Whole, Kept::Unreadable, Kept::Damaged];

fn stream(id: &str) -> StreamId {
    StreamId::new("goods", id).expect("a stream")
}

async fn load<A: Aggregate<Id = String> + Clone>(store: &(impl EventStore + Clone), id: &String) -> A {
    let loaded = Repository::<A>::new(store.clone()).load(id).await;
    loaded.unwrap_or_else(|error| panic!("{id}: {error}")).into_state()
}

async fn day<A, C>(store: &(impl EventStore + Clone), id: &String, command: C)
where
    A: Aggregate<Id = String> + Handle<C, Error = std::convert::Infallible>,
    C: Send + Sync,
{
    let executed = Repository::<A>::new(store.clone()).execute(id, command).await;
    executed.unwrap_or_else(|error| panic!("{id}: {error}"));
}

/// Keeps a state by hand, so that it is known which snapshots there are.
async fn keep(store: &impl EventStore, id: &str, shape: u32, kept: Kept, state: &impl Serialize) {
    if kept == Kept::No {
        return;
    }
    let last =
        store.read_stream(ReadStream::last(stream(id))).await.expect("it can be read").events.remove(0);
    let footing =
        Footing { version: last.version, position: last.position, event_id: last.id, begins: Version::NONE };
    let state = match kept {
        Kept::Unreadable => b"{\"uni".to_vec(),
        _ => serde_json::to_vec(state).expect("it can be written"),
    };
    let mut snapshot = Snapshot::new(stream(id), shape, footing, "json", state);
    if kept == Kept::Damaged {
        let mut bytes = snapshot.state.to_vec();
        // Another number, which can be read.
        let digit = bytes.iter().position(u8::is_ascii_digit).expect("a state has a number");
        bytes[digit] = if bytes[digit] == b'9' { b'1' } else { bytes[digit] + 1 };
        snapshot.state = bytes.into();
    }
    let snapshots = store.snapshots().expect("every store here keeps them");
    assert!(snapshots.save_snapshot(snapshot).await.expect("it can be kept"), "{id}: shape {shape}");
}

/// What an older program says of what a newer one has written.
async fn fault<A: Aggregate<Id = String>>(store: &(impl EventStore + Clone), id: &String) -> (u32, u32) {
    match Repository::<A>::new(store.clone()).load(id).await {
        Err(LoadError::Decode(error)) => match error.fault {
            DecodeFault::NewerThanProgram { found, known } => (found, known),
            fault => panic!("{id}: {fault}"),
        },
        Err(error) => panic!("{id}: {error}"),
        Ok(_) => panic!("{id}: it cannot know"),
    }
}

/// What the third version makes of all events: of these numbers, whatever snapshots there are.
fn goods(units: u64, invoiced: u64, lots: &[&str], is_remembered: bool) -> v3::Goods {
    v3::Goods { units, invoiced, lots: lots.iter().map(ToString::to_string).collect(), is_remembered }
}

/// The three years of one stream.
async fn live(store: &(impl EventStore + Clone), id: &String, [first, second, third]: [Kept; 3]) {
    day::<v1::Goods, _>(store, id, v1::Day(10)).await;
    day::<v1::Goods, _>(store, id, v1::Day(5)).await;
    let state: v1::Goods = load(store, id).await;
    assert_eq!(state.pieces, 13);
    keep(store, id, 1, first, &state).await;
    assert_eq!(load::<v1::Goods>(store, id).await, state, "{id}");

    assert_eq!(load::<v2::Goods>(store, id).await.units, 13, "{id}");
    day::<v2::Goods, _>(store, id, v2::Day(4)).await;
    let state: v2::Goods = load(store, id).await;
    assert_eq!(state.units, 15);
    keep(store, id, 2, second, &state).await;
    assert_eq!(load::<v2::Goods>(store, id).await, state, "{id}");
    assert_eq!(fault::<v1::Goods>(store, id).await, (2, 1));

    let unknown = ["unknown", "unknown", "unknown"];
    assert_eq!(load::<v3::Goods>(store, id).await, goods(15, 4, &unknown, false), "{id}");
    day::<v3::Goods, _>(store, id, v3::Day(7)).await;
    let lots = ["unknown", "unknown", "unknown", "L1"];
    let state: v3::Goods = load(store, id).await;
    assert_eq!(state, goods(19, 7, &lots, false), "{id}");
    keep(store, id, 3, third, &v3::Goods { is_remembered: true, ..state }).await;
    let is_remembered = third == Kept::Whole;
    assert_eq!(load::<v3::Goods>(store, id).await, goods(19, 7, &lots, is_remembered), "{id}");

    // The year goes on after the snapshot, and the programs of before run on beside.
    day::<v3::Goods, _>(store, id, v3::Day(3)).await;
    let lots = ["unknown", "unknown", "unknown", "L1", "L1"];
    assert_eq!(load::<v3::Goods>(store, id).await, goods(19, 10, &lots, is_remembered), "{id}");
    assert_eq!(fault::<v2::Goods>(store, id).await, (3, 2));
}

/// What a subscription of today hears.
#[derive(EventHandler, Clone, Default)]
#[handler(
    name = "goods",
    error = std::convert::Infallible,
    on(v3::Came),
    on(v3::Taken),
    on(v3::Invoiced)
)]
struct Heard(Arc<Mutex<BTreeMap<&'static str, u32>>>);

impl Heard {
    fn hear(&self, what: &'static str, units: u32) {
        *self.0.lock().expect("no handler panics").entry(what).or_default() += units;
    }
}

impl On<v3::Came> for Heard {
    async fn on(&self, event: &Envelope<v3::Came>, _: &mut Context) -> Result<(), std::convert::Infallible> {
        self.hear("came", event.event.units);
        Ok(())
    }
}

impl On<v3::Taken> for Heard {
    async fn on(&self, event: &Envelope<v3::Taken>, _: &mut Context) -> Result<(), std::convert::Infallible> {
        self.hear("taken", event.event.units);
        Ok(())
    }
}

impl On<v3::Invoiced> for Heard {
    async fn on(
        &self,
        event: &Envelope<v3::Invoiced>,
        _: &mut Context,
    ) -> Result<(), std::convert::Infallible> {
        self.hear("invoiced", event.event.units);
        Ok(())
    }
}

async fn all_ages<S: EventStore + Progress + Transfer + Clone>(store: S) {
    let mut streams = 0;
    for first in KEPT {
        for second in KEPT {
            for third in KEPT {
                live(&store, &format!("{first:?}, {second:?}, {third:?}"), [first, second, third]).await;
                streams += 1;
            }
        }
    }
    let heard = Heard::default();
    let subscription =
        Subscription::in_memory("goods", store.clone(), OnFailure::stop()).handler(heard.clone());
    subscription.catch_up().await.expect("every event is read");
    let heard = heard.0.lock().expect("no handler panics").clone();
    assert_eq!(heard, [("came", 29 * streams), ("invoiced", 10 * streams), ("taken", 10 * streams)].into());

    // An export of today has no snapshots: everything is read from events again.
    let mut file = Vec::new();
    Export::of(&store).today::<v3::GoodsEvent>().write(&mut file).await.expect("it can be written");
    let copy = MemoryStore::new();
    import(&copy, &file[..]).await.expect("it can be read");
    let lots = ["unknown", "unknown", "unknown", "L1", "L1"];
    let id = "Whole, Whole, Whole".to_owned();
    assert_eq!(load::<v3::Goods>(&copy, &id).await, goods(19, 10, &lots, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_age_of_events_and_snapshots_is_read_in_memory() {
    all_ages(shops::memory().store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_age_of_events_and_snapshots_is_read_in_sqlite() {
    let (shop, _folder) = shops::sqlite().await;
    all_ages(shop.store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_age_of_events_and_snapshots_is_read_in_postgres() {
    let (shop, _database) = shops::postgres().await;
    all_ages(shop.store).await;
}
