//! Processes on a store: what they do once, what they make good, and what is left when they are stopped.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use factum::memory::MemoryStore;
use factum::retention::Retention;
use factum::store::{ReadAll, ReadStream};
use factum::{
    Aggregate, Checkpoint, Checkpoints, DueTimers, EventId, EventStore, Expected, Handle, HandlerFault,
    OnFailure, Position, Process, RecordedEvent, Repository, StoreErrorKind, SubscriptionError, Timers,
};
use tokio::sync::oneshot;

use crate::clock::{Clock, SilentClock};
use crate::fulfilment::{
    Fill, Fulfilment, Hold, LetGoOf, Order, OrderStatus, Pay, Payment, PaymentStatus, Place, Refuse, Stock,
};
use crate::slow::Slow;

type Fulfilments = Process<Fulfilment, MemoryStore>;

/// How long a customer may take to pay who is waited for, and one who is not.
const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_hours(24);

fn process(store: &MemoryStore) -> Fulfilments {
    Process::new(store.clone(), OnFailure::stop())
}

async fn give<A, C>(store: &MemoryStore, id: impl Into<A::Id>, command: C)
where
    A: Handle<C>,
    A::Error: std::fmt::Debug + Send,
    C: Send + Sync,
{
    Repository::<A>::new(store.clone()).execute(&id.into(), command).await.unwrap();
}

async fn state<A: Aggregate>(store: &MemoryStore, id: impl Into<A::Id>) -> A {
    let found = Repository::<A>::new(store.clone()).find(&id.into()).await.unwrap();
    found.map(factum::Loaded::into_state).unwrap_or_default()
}

async fn order(store: &MemoryStore, id: u64) -> (OrderStatus, String) {
    let Order { status, why } = state::<Order>(store, id).await;
    (status, why)
}

/// Free, held, taken.
async fn lamps(store: &MemoryStore) -> (u64, usize, usize) {
    let stock = state::<Stock>(store, "lamp").await;
    (stock.free, stock.held.len(), stock.taken.len())
}

async fn all(store: &MemoryStore) -> Vec<RecordedEvent> {
    store.read_all(ReadAll::after(Position::START).limit(usize::MAX)).await.unwrap().events
}

/// The names of what has happened, as far as they tell a story.
async fn names_of(store: &MemoryStore, stream: &str) -> Vec<String> {
    let read = ReadStream::new(stream.parse().unwrap());
    let page = store.read_stream(read).await.unwrap();
    page.events.iter().map(|event| event.name.as_str().rsplit('.').next().unwrap().to_owned()).collect()
}

/// A store with so many lamps, and orders 1, 2, .. for one each.
async fn shop(lamps: u64, orders: u64, pay_within: Duration) -> MemoryStore {
    let store = MemoryStore::new();
    give::<Stock, _>(&store, "lamp", Fill(lamps)).await;
    for id in 1..=orders {
        give::<Order, _>(&store, id, Place { item: "lamp", pay_within }).await;
    }
    store
}

/// All that a process does, except that nobody looks at the clock.
async fn all_but_deadlines(process: &Fulfilments) {
    for _ in 0..8 {
        for part in process.subscriptions() {
            part.catch_up().await.unwrap();
        }
    }
}

/// Sets all checkpoints of the process back to the beginning.
async fn set_back(store: &MemoryStore) {
    for part in ["fulfilment", "fulfilment/commands", "fulfilment/deadlines"] {
        let at = store.checkpoint(part).await.unwrap();
        store.move_checkpoint(part, at, Checkpoint::START).await.unwrap();
    }
}

#[tokio::test]
async fn an_order_that_is_paid_is_shipped() {
    let store = shop(5, 1, LONG).await;
    process(&store).catch_up().await.unwrap();
    assert_eq!(lamps(&store).await, (4, 1, 0));
    assert_eq!(state::<Payment>(&store, 1u64).await.status, PaymentStatus::Open);

    give::<Payment, _>(&store, 1u64, Pay).await;
    let reached = process(&store).catch_up().await.unwrap();
    assert_eq!(reached, store.head().await.unwrap());
    assert_eq!(order(&store, 1).await.0, OrderStatus::Shipped);
    assert_eq!(lamps(&store).await, (4, 0, 1));
    assert_eq!(names_of(&store, "fulfilment/1").await, ["begun", "stock_held", "paid", "packed"]);
}

#[tokio::test]
async fn a_rejected_command_is_made_good() {
    let store = shop(1, 2, LONG).await;
    process(&store).catch_up().await.unwrap();
    assert_eq!(order(&store, 1).await.0, OrderStatus::Placed);
    assert_eq!(order(&store, 2).await, (OrderStatus::Cancelled, "nothing is left".into()));
    assert_eq!(names_of(&store, "fulfilment/2").await, ["begun", "given_up"]);
}

#[tokio::test]
async fn what_was_done_is_undone_when_a_later_step_fails() {
    let store = shop(1, 1, LONG).await;
    process(&store).catch_up().await.unwrap();
    give::<Payment, _>(&store, 1u64, Refuse).await;
    process(&store).catch_up().await.unwrap();
    assert_eq!(order(&store, 1).await, (OrderStatus::Cancelled, "the customer refused to pay".into()));
    assert_eq!(lamps(&store).await, (1, 0, 0));
}

#[tokio::test]
async fn a_deadline_goes_off_when_its_time_has_come() {
    let store = shop(1, 1, SHORT).await;
    process(&store).catch_up().await.unwrap();
    tokio::time::sleep(SHORT).await;
    process(&store).catch_up().await.unwrap();
    assert_eq!(order(&store, 1).await, (OrderStatus::Cancelled, "the customer did not pay in time".into()));
    assert_eq!(lamps(&store).await, (1, 0, 0));
    let story = ["begun", "stock_held", "patience_lost", "stock_returned", "given_up"];
    assert_eq!(names_of(&store, "fulfilment/1").await, story);
}

#[tokio::test]
async fn a_deadline_does_not_go_off_before_its_time() {
    let store = shop(1, 1, LONG).await;
    process(&store).catch_up().await.unwrap();
    assert_eq!(names_of(&store, "fulfilment/1").await, ["begun", "stock_held"]);
    let due = store.due_timers("fulfilment", 10).await.unwrap();
    assert_eq!(due.timers, []);
    assert!(due.next.is_some_and(|next| next > LONG / 2), "{due:?}");
}

#[tokio::test]
async fn a_deadline_whose_process_has_moved_on_records_nothing() {
    let store = shop(1, 1, SHORT).await;
    let process = process(&store);
    all_but_deadlines(&process).await;
    give::<Payment, _>(&store, 1u64, Pay).await;
    all_but_deadlines(&process).await;
    tokio::time::sleep(SHORT).await;
    assert_eq!(store.due_timers("fulfilment", 10).await.unwrap().timers.len(), 1);
    process.catch_up().await.unwrap();
    assert_eq!(names_of(&store, "fulfilment/1").await, ["begun", "stock_held", "paid", "packed"]);
    assert_eq!(store.due_timers("fulfilment", 10).await.unwrap(), DueTimers::default());
}

#[tokio::test]
async fn what_was_done_is_not_done_again_though_the_checkpoints_are_set_back() {
    let store = shop(2, 3, SHORT).await;
    let process = process(&store);
    all_but_deadlines(&process).await;
    give::<Payment, _>(&store, 1u64, Pay).await;
    all_but_deadlines(&process).await;
    tokio::time::sleep(SHORT).await;
    process.catch_up().await.unwrap();
    assert_eq!(order(&store, 1).await.0, OrderStatus::Shipped);
    assert_eq!(order(&store, 2).await.0, OrderStatus::Cancelled);
    // Order 3 was told that nothing is left. There is something again now, and still order 3 is not served.
    assert_eq!(order(&store, 3).await, (OrderStatus::Cancelled, "nothing is left".into()));
    assert_eq!(lamps(&store).await, (1, 0, 1));

    let before = store.head().await.unwrap();
    set_back(&store).await;
    process.catch_up().await.unwrap();
    let more = store.read_all(ReadAll::after(before)).await.unwrap().events;
    assert_eq!(more, []);
}

#[tokio::test]
async fn another_process_on_the_same_store_goes_on_where_the_first_was_dropped() {
    let store = shop(3, 3, LONG).await;
    for pauses in 0..400 {
        // Each gets a bit further.
        let process = Process::<Fulfilment, _>::new(Slow::new(store.clone()), OnFailure::stop());
        let dropped = async {
            for _ in 0..pauses {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            outcome = process.run_until(std::future::pending()) => outcome.unwrap(),
            () = dropped => {}
        }
    }
    for id in 1..=3u64 {
        give::<Payment, _>(&store, id, Pay).await;
        process(&store).catch_up().await.unwrap();
    }
    assert_eq!(lamps(&store).await, (0, 0, 3));
    for id in 1..=3 {
        let story = ["begun", "stock_held", "paid", "packed"];
        assert_eq!(names_of(&store, &format!("fulfilment/{id}")).await, story);
    }
}

#[tokio::test]
async fn causes_are_told_by_every_event() {
    let store = shop(1, 1, SHORT).await;
    process(&store).catch_up().await.unwrap();
    tokio::time::sleep(SHORT).await;
    process(&store).catch_up().await.unwrap();
    let events = all(&store).await;
    let named = |name: &str| events.iter().find(|event| event.name.as_str() == name).unwrap();
    let placed = named("order.placed");
    for (effect, cause) in [
        ("fulfilment.begun", "order.placed"),
        ("stock.held", "fulfilment.begun"),
        ("fulfilment.stock_held", "stock.held"),
        ("payment.requested", "fulfilment.stock_held"),
        ("fulfilment.patience_lost", "fulfilment.stock_held"),
        ("payment.withdrawn", "fulfilment.patience_lost"),
        ("fulfilment.stock_returned", "payment.withdrawn"),
        ("fulfilment.given_up", "payment.withdrawn"),
        ("stock.let_go", "fulfilment.stock_returned"),
        ("order.cancelled", "fulfilment.given_up"),
    ] {
        assert_eq!(named(effect).metadata.causation_id, Some(named(cause).id), "{effect}");
        assert_eq!(named(effect).correlation_id(), placed.correlation_id(), "{effect}");
    }
}

#[tokio::test]
async fn the_cause_of_what_follows_a_rejection_is_the_event_that_issued_the_command() {
    let store = shop(0, 1, LONG).await;
    process(&store).catch_up().await.unwrap();
    let events = all(&store).await;
    let named = |name: &str| events.iter().find(|event| event.name.as_str() == name).unwrap();
    assert_eq!(named("fulfilment.given_up").metadata.causation_id, Some(named("fulfilment.begun").id));
}

#[tokio::test]
async fn events_that_concern_no_process_are_passed_over() {
    let store = shop(2, 0, LONG).await;
    give::<Stock, _>(&store, "lamp", Hold(0)).await;
    give::<Stock, _>(&store, "lamp", LetGoOf(0)).await;
    process(&store).catch_up().await.unwrap();
    assert_eq!(all(&store).await.len(), 3);
}

/// A store with so many clocks that are to ring at once.
async fn clocks(count: u64) -> MemoryStore {
    let store = shop(0, count, Duration::ZERO).await;
    let clocks = clock(&store);
    for part in clocks.subscriptions() {
        part.catch_up().await.unwrap();
    }
    store
}

fn clock(store: &MemoryStore) -> Process<Clock, MemoryStore> {
    Process::new(store.clone(), OnFailure::stop())
}

async fn has_rung(store: &MemoryStore, id: u64) -> bool {
    names_of(store, &format!("clock/{id}")).await.contains(&"rung".to_owned())
}

#[tokio::test]
async fn deadlines_that_fail_stay_are_told_and_hold_up_no_others() {
    const BROKEN: u64 = 250;
    let store = clocks(BROKEN + 1).await;
    // They are due before the last one, and can record nothing.
    for id in 1..=BROKEN {
        let stream = format!("clock/{id}").parse().unwrap();
        store.archive_stream(&stream, Expected::Any).await.unwrap();
    }
    for _ in 0..2 {
        let error = clock(&store).catch_up().await.unwrap_err();
        let SubscriptionError::Handler(error) = error else { panic!("{error:?}") };
        assert_eq!((error.handler, error.event.unwrap().stream.to_string()), ("clock", "clock/1".to_owned()));
        assert!(has_rung(&store, BROKEN + 1).await);
        assert_eq!(store.due_timers("clock", 1000).await.unwrap().timers.len() as u64, BROKEN);
    }
    store.restore_stream(&"clock/1".parse().unwrap()).await.unwrap();
    clock(&store).catch_up().await.unwrap_err();
    assert!(has_rung(&store, 1).await);
}

#[tokio::test]
async fn deadlines_that_fail_do_not_stop_a_process_that_runs() {
    let store = clocks(2).await;
    store.archive_stream(&"clock/1".parse().unwrap(), Expected::Any).await.unwrap();
    let process = clock(&store);
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(async move { process.run_until(async { drop(stopped.await) }).await });
    eventually(async || has_rung(&store, 2).await.then_some(())).await;
    store.restore_stream(&"clock/1".parse().unwrap()).await.unwrap();
    eventually(async || has_rung(&store, 1).await.then_some(())).await;
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_process_whose_timers_can_never_be_read_stops() {
    let store = shop(1, 1, LONG).await;
    let process = Process::<Fulfilment, _>::new(Slow::without_timers(store), OnFailure::stop());
    let run = process.run_until(std::future::pending());
    let stopped = tokio::time::timeout(Duration::from_secs(20), run).await.expect("at once");
    let SubscriptionError::Store(error) = stopped.unwrap_err() else { panic!("another error") };
    assert_eq!(*error.kind(), StoreErrorKind::Corrupt);
}

#[tokio::test]
async fn an_erased_process_has_no_deadlines() {
    let store = clocks(1).await;
    store.delete_stream(&"clock/1".parse().unwrap(), Expected::Any).await.unwrap();
    clock(&store).catch_up().await.unwrap();
    assert_eq!(store.due_timers("clock", 10).await.unwrap(), DueTimers::default());
}

#[tokio::test]
async fn a_program_that_does_not_know_a_deadline_leaves_it_to_one_that_does() {
    let store = clocks(1).await;
    let older = Process::<SilentClock, _>::new(store.clone(), OnFailure::stop());
    let error = older.catch_up().await.unwrap_err();
    let SubscriptionError::Handler(error) = error else { panic!("{error:?}") };
    let HandlerFault::Failed(error) = error.fault else { panic!("{error:?}") };
    assert_eq!(error.to_string(), "clock.wound has set a deadline and is not on the list of those that do");
    assert!(!has_rung(&store, 1).await);

    clock(&store).catch_up().await.unwrap();
    assert!(has_rung(&store, 1).await);
}

/// Two nodes that share the work until they are told to stop.
async fn on_two_nodes<T>(store: &MemoryStore, work: impl Future<Output = T>) -> T {
    let node = || {
        let process = Process::<Fulfilment, _>::new(Slow::new(store.clone()), OnFailure::stop());
        let process = process.shared(2).lease_for(Duration::from_millis(300));
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(async move { process.run_until(async { drop(stopped.await) }).await });
        (stop, running)
    };
    let nodes = [node(), node()];
    let done = work.await;
    for (stop, running) in nodes {
        stop.send(()).unwrap();
        running.await.unwrap().unwrap();
    }
    done
}

async fn eventually<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            match look().await {
                Some(found) => return found,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), found).await.expect("within twenty seconds")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn deadlines_go_off_once_though_two_nodes_race_for_them() {
    const ORDERS: u64 = 100;
    let store = shop(ORDERS, ORDERS, SHORT).await;
    // When the two begin, all of them are due.
    all_but_deadlines(&process(&store).shared(2)).await;
    tokio::time::sleep(SHORT).await;
    let all_cancelled = async || {
        for id in 1..=ORDERS {
            if order(&store, id).await.0 != OrderStatus::Cancelled {
                return None;
            }
        }
        Some(())
    };
    on_two_nodes(&store, eventually(all_cancelled)).await;
    assert_eq!(lamps(&store).await, (ORDERS, 0, 0));
    for id in 1..=ORDERS {
        let story = ["begun", "stock_held", "patience_lost", "stock_returned", "given_up"];
        assert_eq!(names_of(&store, &format!("fulfilment/{id}")).await, story);
    }
}

/// Chance that can be repeated.
struct Dice(u64);

impl Dice {
    /// One of so many. Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn time(&mut self, most: Duration) -> Duration {
        let micros = u64::try_from(most.as_micros()).unwrap();
        Duration::from_micros(self.roll(micros))
    }
}

const ITEMS: [&str; 5] = ["lamp", "chair", "table", "shelf", "rug"];
const ORDERS: u64 = 200;

/// Orders come, stock is filled up, customers pay, refuse, or do nothing, each in its own time.
async fn customers(store: MemoryStore, mut dice: Dice) {
    let mut all = Vec::new();
    for id in 1..=ORDERS {
        let item = ITEMS[usize::try_from(dice.roll(5)).unwrap()];
        if dice.roll(20) == 0 {
            give::<Stock, _>(&store, item, Fill(dice.roll(4))).await;
        }
        give::<Order, _>(&store, id, Place { item, pay_within: SHORT }).await;
        let (choice, time) = (dice.roll(4), dice.time(3 * SHORT / 2));
        let store = store.clone();
        all.push(tokio::spawn(async move {
            let payments = Repository::<Payment>::new(store.clone());
            // Until there is something to pay, or nothing will come.
            loop {
                let is_cancelled = order(&store, id).await.0 == OrderStatus::Cancelled;
                let is_open = state::<Payment>(&store, id).await.status == PaymentStatus::Open;
                if is_cancelled || is_open {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::time::sleep(time).await;
            // It may be too late.
            match choice {
                0 => {}
                1 => drop(payments.execute(&id, Refuse).await),
                _ => drop(payments.execute(&id, Pay).await),
            }
        }));
        tokio::time::sleep(dice.time(Duration::from_millis(2))).await;
    }
    for customer in all {
        customer.await.unwrap();
    }
}

/// Runs the process, drops it in the middle of whatever it does, and runs it again, until `until` is over.
async fn run_and_drop(store: MemoryStore, mut dice: Dice, until: Arc<tokio::sync::Notify>) {
    let mut over = std::pin::pin!(until.notified());
    loop {
        let process = Process::<Fulfilment, _>::new(Slow::new(store.clone()), OnFailure::stop());
        let run = process.run_until(std::future::pending());
        tokio::select! {
            () = &mut over => return,
            outcome = run => outcome.unwrap(),
            () = tokio::time::sleep(dice.time(Duration::from_millis(10))) => {}
        }
    }
}

async fn whatever_happens_nobody_loses(seed: u64) {
    let store = MemoryStore::new();
    let mut dice = Dice(seed);
    for item in ITEMS {
        give::<Stock, _>(&store, item, Fill(10 + dice.roll(20))).await;
    }
    let over = Arc::new(tokio::sync::Notify::new());
    let runner = tokio::spawn(run_and_drop(store.clone(), Dice(dice.roll(u64::MAX)), Arc::clone(&over)));
    customers(store.clone(), Dice(dice.roll(u64::MAX))).await;
    over.notify_one();
    runner.await.unwrap();
    // The last ones wait for their time.
    tokio::time::sleep(SHORT).await;
    process(&store).catch_up().await.unwrap();
    check(&store, seed).await;
}

async fn check(store: &MemoryStore, seed: u64) {
    let events = all(store).await;
    let mut seen = HashSet::<(String, String)>::new();
    for event in &events {
        let stream = event.stream.to_string();
        let what = match event.stream.category() {
            "stock" => format!("{} {}", event.name, String::from_utf8_lossy(&event.payload)),
            _ => event.name.to_string(),
        };
        let is_once = event.name.as_str() == "stock.filled" || seen.insert((stream.clone(), what.clone()));
        assert!(is_once, "seed {seed}: {what} happened twice to {stream}");
    }
    let mut outcomes = [0; 2];
    for id in 1..=ORDERS {
        let (status, why) = order(store, id).await;
        let is_paid = state::<Payment>(store, id).await.status == PaymentStatus::Received;
        assert_eq!(is_paid, status == OrderStatus::Shipped, "seed {seed}: order {id} is {status:?} {why}");
        assert_ne!(status, OrderStatus::Placed, "seed {seed}: order {id} waits for ever");
        outcomes[usize::from(is_paid)] += 1;
    }
    assert!(outcomes.iter().all(|count| *count > 10), "seed {seed}: {outcomes:?} is no test");
    for item in ITEMS {
        let stock = state::<Stock>(store, item).await;
        let filled: u64 = events
            .iter()
            .filter(|event| event.stream.id() == item && event.name.as_str() == "stock.filled")
            .map(|event| {
                serde_json::from_slice::<serde_json::Value>(&event.payload).unwrap()["amount"]
                    .as_u64()
                    .unwrap()
            })
            .sum();
        assert!(stock.held.is_empty(), "seed {seed}: {:?} are held for ever", stock.held);
        assert_eq!(stock.free + stock.taken.len() as u64, filled, "seed {seed}: {item}");
    }
    assert_eq!(store.due_timers("fulfilment", 10).await.unwrap(), DueTimers::default());
    let ids: HashSet<EventId> = events.iter().map(|event| event.id).collect();
    assert_eq!(ids.len(), events.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_happens_every_order_is_paid_and_shipped_or_neither() {
    for seed in [1, 2, 3] {
        whatever_happens_nobody_loses(seed).await;
    }
}
