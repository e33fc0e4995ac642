//! Many at once: one winner, no lost answer, no deadlock, and a feed that never skips.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use factum_core::store::{Append, Appended, Filter, ReadAll, ReadStream};
use factum_core::{
    AppendError, Conflict, EventId, EventStore, Expected, IdReused, Position, RecordedEvent, StreamId,
    Version,
};
use tokio::sync::watch;

use crate::Fixture;
use crate::given::{event, events, ids_of, some, stream, stream_of};
use crate::race::race;
use crate::seen::{
    append, conflict, everything, id_reused, ids, in_pages, patience, positions, soon, versions, walk, whole,
};

/// How many race against each other.
const RACERS: usize = 8;
/// How often they do.
const ROUNDS: usize = 10;

/// Law 3: of racing appends that expect the same version one wins, and the others are told by how much they lost.
pub async fn one_of_those_who_expect_the_same_version_wins<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, some(&stream("1"), 1)).await;
    for round in 0..ROUNDS {
        let length = 1 + 2 * round;
        let expected = Expected::Exactly(Version::NONE.forward(length).expect("a small number"));
        let appends: Vec<_> = (0..RACERS).map(|_| Append::to(stream("1"), expected, events(2))).collect();
        let outcomes = race_appends(store, &appends).await;
        let winner = assert_one_wins(&appends, outcomes, |part| Conflict {
            stream: part.clone(),
            expected,
            actual: Version::NONE.forward(length + 2),
        });
        assert_eq!(ids(&whole(store, &stream("1")).await[length..]), ids_of(&appends[winner]));
    }
    assert_eq!(everything(store).await.len(), 1 + 2 * ROUNDS);
}

/// Law 3: of those who race to begin a stream one wins.
pub async fn one_of_those_who_begin_a_stream_wins<F: Fixture>(fixture: F) {
    let store = fixture.store();
    for round in 0..ROUNDS {
        let stream = stream(&round.to_string());
        let appends: Vec<_> =
            (0..RACERS).map(|_| Append::to(stream.clone(), Expected::NoStream, events(3))).collect();
        let outcomes = race_appends(store, &appends).await;
        let winner = assert_one_wins(&appends, outcomes, |part| Conflict {
            stream: part.clone(),
            expected: Expected::NoStream,
            actual: Some(Version(3)),
        });
        assert_eq!(ids(&whole(store, &stream).await), ids_of(&appends[winner]));
    }
}

/// Laws 1 and 3: of those who race for a stream that all of them share one wins, and nothing of the others is written to
/// the streams that they do not share.
pub async fn one_of_those_who_share_a_stream_wins_all_of_its_streams<F: Fixture>(fixture: F) {
    let store = fixture.store();
    for round in 0..ROUNDS {
        let shared = stream(&format!("{round}/shared"));
        let own = |racer: usize| stream(&format!("{round}/own/{racer}"));
        let appends: Vec<_> = (0..RACERS)
            .map(|racer| {
                let first = Append::to(own(racer), Expected::NoStream, events(1));
                first.and(shared.clone(), Expected::NoStream, events(2))
            })
            .collect();
        let outcomes = race_appends(store, &appends).await;
        let winner = assert_one_wins(&appends, outcomes, |_| Conflict {
            stream: shared.clone(),
            expected: Expected::NoStream,
            actual: Some(Version(2)),
        });
        for racer in 0..RACERS {
            let written = whole(store, &own(racer)).await.len();
            assert_eq!(written, usize::from(racer == winner), "of racer {racer}, winner {winner}");
        }
    }
    assert_eq!(everything(store).await.len(), 3 * ROUNDS);
}

/// All of those who demand nothing win, and the versions are dense.
pub async fn all_of_those_who_demand_nothing_win<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let mut appends = Vec::new();
    for _ in 0..ROUNDS {
        let round: Vec<_> = (0..RACERS).map(|_| some(&stream("1"), 2)).collect();
        for outcome in race_appends(store, &round).await {
            outcome.expect("nothing is demanded, so nothing can be in the way");
        }
        appends.extend(round);
    }
    let written = whole(store, &stream("1")).await;
    assert_eq!(versions(&written), (1..=20 * u64::try_from(RACERS).expect("few")).collect::<Vec<_>>());
    assert_together(&written, &appends);
    assert_eq!(everything(store).await, written, "positions are in the order of versions");
}

/// All of those who append to streams of their own win, at positions of their own.
pub async fn all_of_those_with_streams_of_their_own_win<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let mut answered = HashSet::new();
    for round in 0..ROUNDS {
        let version = Version::NONE.forward(2 * round).expect("a small number");
        let appends: Vec<_> = (0..RACERS)
            .map(|racer| Append::to(stream(&racer.to_string()), Expected::Exactly(version), events(2)))
            .collect();
        for outcome in race_appends(store, &appends).await {
            let answer = outcome.expect("nobody else appends to this stream");
            assert_eq!(answer.versions, [version.forward(2).expect("a small number")]);
            assert!(answered.insert(answer.position), "{} was given twice", answer.position);
        }
    }
    let feed = everything(store).await;
    assert_eq!(feed.len(), 2 * ROUNDS * RACERS);
    let unique: HashSet<_> = positions(&feed).into_iter().collect();
    assert_eq!(unique.len(), feed.len());
    assert!(answered.is_subset(&unique), "what was answered is where the events are");
}

/// Law 4: the same append, sent many times at once, is written once, and every answer is the same.
pub async fn all_of_those_who_repeat_the_same_append_are_answered_alike<F: Fixture>(fixture: F) {
    let store = fixture.store();
    for round in 0..ROUNDS {
        let streams = [stream(&format!("{round}/1")), stream(&format!("{round}/2"))];
        for expected in [Expected::NoStream, Expected::Exactly(Version(2)), Expected::Exists, Expected::Any] {
            let mut before = [0, 0];
            for (at, stream) in streams.iter().enumerate() {
                before[at] = whole(store, stream).await.len();
            }
            let given = Append::to(streams[0].clone(), expected, events(2)).and(
                streams[1].clone(),
                expected,
                events(2),
            );
            let outcomes = race_appends(store, &vec![given.clone(); RACERS]).await;
            let mut answers = Vec::new();
            for outcome in outcomes {
                answers.push(outcome.expect("a repeat is answered as the first was"));
            }
            assert!(answers.iter().all(|answer| *answer == answers[0]), "all alike: {answers:?}");
            let mut written = Vec::new();
            for (at, stream) in streams.iter().enumerate() {
                written.extend(ids(&whole(store, stream).await[before[at]..]));
            }
            assert_eq!(written, ids_of(&given), "written once");
        }
    }
    assert_eq!(everything(store).await.len(), 16 * ROUNDS);
}

/// Law 4: of two different appends that share an id one wins, and the other is told where the id is.
pub async fn one_of_those_who_share_an_id_wins<F: Fixture>(fixture: F) {
    let store = fixture.store();
    for round in 0..ROUNDS {
        let shared = event();
        let appends: Vec<_> = (0..RACERS)
            .map(|racer| {
                // To one stream, or each to its own.
                let target = if round % 2 == 0 { format!("{round}") } else { format!("{round}/{racer}") };
                Append::to(stream(&target), Expected::Any, vec![event(), shared.clone(), event()])
            })
            .collect();
        let outcomes = race_appends(store, &appends).await;
        let target = |racer: usize| appends[racer].streams()[0].stream.clone();
        let winner = outcomes.iter().position(Result::is_ok).expect("one of them wins");
        for (racer, outcome) in outcomes.into_iter().enumerate().filter(|(racer, _)| *racer != winner) {
            let fact = IdReused {
                id: shared.id,
                stream: target(racer),
                recorded_stream: target(winner),
                recorded_version: Version(2),
            };
            assert_eq!(id_reused(outcome), fact);
        }
        assert_eq!(ids(&whole(store, &target(winner)).await), ids_of(&appends[winner]));
    }
    assert_eq!(everything(store).await.len(), 3 * ROUNDS);
}

/// Appends to the same streams in opposite orders do not wait for each other for ever, and all that may happen does.
pub async fn those_who_cross_do_not_block_each_other<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let streams: Vec<_> = (0..4).map(|n| stream(&n.to_string())).collect();
    let mut appends = Vec::new();
    for _ in 0..ROUNDS {
        let round: Vec<_> = (0..RACERS)
            .map(|racer| {
                let mut order = streams.clone();
                order.rotate_left(racer % 4);
                if racer % 2 == 0 {
                    order.reverse();
                }
                order[1..].iter().fold(some(&order[0], 1), |append, stream| {
                    append.and(stream.clone(), Expected::Any, events(1))
                })
            })
            .collect();
        for outcome in race_appends(store, &round).await {
            outcome.expect("nothing is demanded, so nothing can be in the way");
        }
        appends.extend(round);
    }
    let last = u64::try_from(ROUNDS * RACERS).expect("few");
    for stream in &streams {
        let written = whole(store, stream).await;
        assert_eq!(versions(&written), (1..=last).collect::<Vec<_>>());
        assert!(positions(&written).is_sorted(), "positions are in the order of versions");
    }
    let given: usize = appends.iter().map(|append| append.events().count()).sum();
    assert_eq!(everything(store).await.len(), given);
}

/// Law 1: a reader of a stream sees an append whole or not at all, and versions without holes.
pub async fn a_reader_of_a_stream_sees_whole_appends<F: Fixture>(fixture: F) {
    // Large appends, and many looks: a store that writes event by event is to be met in the midst of one.
    const EVENTS: usize = 50;
    const LOOKS: usize = 20;
    let store = fixture.store().clone();
    let looks = Arc::new(AtomicUsize::new(0));
    let writer = tokio::spawn({
        let (store, looks) = (store.clone(), Arc::clone(&looks));
        async move {
            let deadline = Instant::now() + patience();
            while looks.load(Ordering::SeqCst) < LOOKS {
                assert!(Instant::now() < deadline, "a reader sees nothing while another writes");
                append(&store, some(&stream("1"), EVENTS)).await;
            }
        }
    });
    let mut after = Version::NONE;
    while !writer.is_finished() {
        let events = in_pages(&store, ReadStream::new(stream("1")).after(after).limit(100_000)).await;
        let expected: Vec<_> = (after.0 + 1..).take(events.len()).collect();
        assert_eq!(versions(&events), expected, "versions have no holes");
        assert_eq!(events.len() % EVENTS, 0, "{} events are not whole appends of {EVENTS}", events.len());
        if let Some(last) = events.last() {
            after = last.version;
            looks.fetch_add(1, Ordering::SeqCst);
        }
    }
    writer.await.expect("the writer does not panic");
    assert!(looks.load(Ordering::SeqCst) >= LOOKS, "the reader looked while the other wrote");
}

/// Law 6: an append that began after another was acknowledged gets greater positions, whoever made the two and wherever.
pub async fn positions_respect_cause<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let clock = Arc::new(AtomicU64::new(0));
    let mut spans = Vec::new();
    // In rounds, so that every writer's appends follow those of all others, also where a round runs one by one.
    for _ in 0..ROUNDS {
        let writers = (0..RACERS).map(|writer| {
            let (store, clock) = (store.clone(), Arc::clone(&clock));
            async move {
                let mut spans = Vec::new();
                for _ in 0..3 {
                    let given = some(&stream(&writer.to_string()), 1);
                    let began = clock.fetch_add(1, Ordering::SeqCst);
                    let answer = append(&store, given).await;
                    let ended = clock.fetch_add(1, Ordering::SeqCst);
                    spans.push((began, ended, answer.position, writer));
                }
                spans
            }
        });
        spans.extend(race(writers).await.into_iter().flatten());
    }
    let mut between_writers = 0;
    for &(_, ended, earlier, of) in &spans {
        for &(began, _, later, by) in &spans {
            if ended < began {
                assert!(earlier < later, "{later} began after {earlier} was acknowledged");
                between_writers += usize::from(of != by);
            }
        }
    }
    // All of a round before all of the later ones, for each pair of writers: three appends by three.
    let at_least = RACERS * (RACERS - 1) * 9 * (ROUNDS * (ROUNDS - 1) / 2);
    assert!(between_writers >= at_least, "{between_writers} appends followed those of other writers");
    for (writer, feed) in by_stream(&everything(store).await) {
        assert!(versions(&feed).is_sorted(), "position order is version order in {writer}");
    }
}

/// **Law 7: the feed never skips.** Those who follow it while others write see everything once and in order, whatever
/// the size of their pages and whatever they filter, and exactly what a reader sees afterwards.
pub async fn those_who_follow_see_everything_once_in_order<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let even = Filter { categories: vec!["even".into()], ..Filter::all() };
    let pages = [(1, Filter::all()), (7, Filter::all()), (1000, Filter::all()), (3, even)];
    let (finish, finished) = watch::channel(None);
    let progress: Vec<_> = pages.iter().map(|_| Arc::new(AtomicUsize::new(0))).collect();
    let mut followers = Vec::new();
    for ((limit, filter), progress) in pages.iter().cloned().zip(&progress) {
        let read = ReadAll::after(Position::START).filter(filter).limit(limit);
        followers.push(tokio::spawn(follow(store.clone(), read, finished.clone(), Arc::clone(progress))));
    }

    let written = race((0..RACERS).map(|writer| write(store.clone(), writer, progress.clone()))).await;
    let acknowledged: HashSet<EventId> = written.into_iter().flatten().collect();
    let end = append(store, some(&stream_of("even", "end"), 1)).await.position;
    finish.send(Some(end)).expect("followers wait for the end");

    let mut followed = Vec::new();
    for follower in followers {
        followed.push(soon("the end of following", follower).await.expect("a follower does not panic"));
    }
    let all = everything(store).await;
    assert_eq!(all.len(), acknowledged.len() + 1, "all that was acknowledged is there, and the end");
    assert!(ids(&all).iter().filter(|id| acknowledged.contains(id)).count() == acknowledged.len());
    for ((limit, filter), seen) in pages.iter().zip(followed) {
        let passed: Vec<_> = all.iter().filter(|event| filter.passes(event)).cloned().collect();
        assert!(passed.len() > 1, "something passes {filter:?}");
        let (seen_ids, passed_ids) = (ids(&seen), ids(&passed));
        let missed: Vec<_> = passed.iter().filter(|event| !seen_ids.contains(&event.id)).collect();
        assert!(missed.is_empty(), "in pages of {limit}, the follower never saw {missed:?}");
        assert_eq!(seen_ids, passed_ids, "in pages of {limit}, everything once and in order");
        assert_eq!(seen, passed);
    }
}

/// Follows the feed until `finished` says where it ends, and gives what it saw. `progress` counts pages.
async fn follow<S: EventStore>(
    store: S,
    mut read: ReadAll,
    finished: watch::Receiver<Option<Position>>,
    progress: Arc<AtomicUsize>,
) -> Vec<RecordedEvent> {
    let mut seen = Vec::new();
    loop {
        let end = *finished.borrow();
        if let Some(end) = end {
            seen.extend(walk(&store, read, end).await);
            return seen;
        }
        let page = store.read_all(read.clone().following()).await.expect("the feed can be read");
        assert!(
            page.checkpoint.position >= read.after.position,
            "the feed goes back from {} to {}",
            read.after.position,
            page.checkpoint.position
        );
        if !page.events.is_empty() {
            progress.fetch_add(1, Ordering::SeqCst);
        }
        read.after = page.checkpoint;
        seen.extend(page.events);
        if page.end {
            // A hint, and bounded, because `finished` must be looked at too.
            let _ = tokio::time::timeout(Duration::from_millis(20), store.wait(read.after.position)).await;
        }
    }
}

/// Appends to one stream, to several at once, and in vain, until all who follow have seen some of it; gives the ids of
/// what was acknowledged.
async fn write<S: EventStore>(store: S, writer: usize, followers: Vec<Arc<AtomicUsize>>) -> Vec<EventId> {
    let category = if writer.is_multiple_of(2) { "even" } else { "odd" };
    let own = stream_of(category, &writer.to_string());
    let deadline = Instant::now() + patience();
    let mut acknowledged = Vec::new();
    for turn in 0.. {
        let followed = followers.iter().all(|pages| pages.load(Ordering::SeqCst) >= 3);
        if turn >= 30 && followed {
            return acknowledged;
        }
        assert!(Instant::now() < deadline, "followers see nothing while others write");
        let given = match turn % 5 {
            0 => some(&stream_of("even", "shared"), 2).and(own.clone(), Expected::Any, events(1)),
            1 => some(&own, 3).and(stream_of("odd", "shared"), Expected::Any, events(1)),
            _ => some(&own, 1),
        };
        append(&store, given.clone()).await;
        acknowledged.extend(ids_of(&given));
        if turn % 5 == 2 {
            // In vain, which must not leave behind anything that readers wait for or skip.
            let stale = Append::to(stream_of(category, &format!("vain/{writer}")), Expected::Any, events(1));
            let stale = stale.and(own.clone(), Expected::NoStream, events(1));
            conflict(store.append(stale).await);
        }
        if turn >= 30 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    unreachable!("turns do not end by themselves")
}

/// The outcomes of appends that are made at the same time, in order.
async fn race_appends<S: EventStore + Clone>(
    store: &S,
    appends: &[Append],
) -> Vec<Result<Appended, AppendError>> {
    race(appends.iter().cloned().map(|append| {
        let store = store.clone();
        async move { store.append(append).await }
    }))
    .await
}

/// Asserts that one of the appends won and that the others met the conflict that `loses` says, for the first stream of
/// the append. Gives the winner.
fn assert_one_wins(
    appends: &[Append],
    outcomes: Vec<Result<Appended, AppendError>>,
    loses: impl Fn(&StreamId) -> Conflict,
) -> usize {
    let winners: Vec<_> =
        outcomes.iter().enumerate().filter(|(_, outcome)| outcome.is_ok()).map(|(racer, _)| racer).collect();
    assert_eq!(winners.len(), 1, "exactly one of {} wins", outcomes.len());
    for (racer, outcome) in outcomes.into_iter().enumerate().filter(|(racer, _)| *racer != winners[0]) {
        assert_eq!(conflict(outcome), loses(&appends[racer].streams()[0].stream));
    }
    winners[0]
}

/// Asserts that the events of each append stand next to each other, in its order.
fn assert_together(written: &[RecordedEvent], appends: &[Append]) {
    let written = ids(written);
    for append in appends {
        let wanted = ids_of(append);
        let at = written.iter().position(|id| *id == wanted[0]).expect("it was written");
        assert_eq!(written[at..at + wanted.len()], wanted, "the events of an append stand together");
    }
}

/// Events by their stream, each in the order in which they are.
fn by_stream(events: &[RecordedEvent]) -> HashMap<StreamId, Vec<RecordedEvent>> {
    let mut streams: HashMap<StreamId, Vec<RecordedEvent>> = HashMap::new();
    for event in events {
        streams.entry(event.stream.clone()).or_default().push(event.clone());
    }
    streams
}
