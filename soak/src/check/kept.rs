//! Streams that clients set apart and erase, many at a time: nothing is done to them that nobody asked for, and what was
//! answered is so.
//!
//! This is a simpler rule than that of the [histories](factum_conformance::history), which need a log that holds
//! everything. It looks at each answer for itself, and at pairs of them only where one was given before the other was asked
//! for; so it is sound (a store that keeps its laws is never accused) and not complete (it does not look for one order of
//! moments that explains all answers together).

use std::collections::{BTreeMap, HashMap, HashSet};

use factum_conformance::history::{Answer, Answered, History, Logged, Operation, Part, Request};
use factum_core::retention::{Closing, RESTORED, TRUNCATED};
use factum_core::{EventId, Expected, Position, StreamId, Version};

use super::left::Left;
use crate::change::{Change, Done, What};
use crate::note::Note;

/// What happened to these streams in a run in which every rule held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Appends that were acknowledged, those that were refused or conflicted, and reads.
    pub(crate) appended: usize,
    pub(crate) refused: usize,
    pub(crate) read: usize,
    /// Changes that were done, by what they are.
    pub(crate) done: BTreeMap<What, usize>,
    pub(crate) changes_refused: usize,
    pub(crate) changes_unknown: usize,
    /// How many events are set apart in the end, and how many are erased.
    pub(crate) archived: usize,
    pub(crate) erased: usize,
}

/// A change, and what was told of it if anything was: that it was done, or that it was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) change: Change,
    pub(crate) told: Option<(u64, Option<Done>)>,
}

impl Asked {
    /// The changes in the notes of one process.
    pub(crate) fn in_notes(notes: &[Note]) -> Result<Vec<Self>, String> {
        let (mut all, mut places) = (Vec::new(), HashMap::new());
        for note in notes {
            match note {
                Note::Asked { number, change, .. } => {
                    if places.insert(*number, all.len()).is_some() {
                        return Err(format!("change {number} is asked for twice"));
                    }
                    all.push(Self { change: change.clone(), told: None });
                }
                Note::Told { number, at, done } => {
                    let place =
                        places.get(number).ok_or_else(|| format!("nobody asked for change {number}"))?;
                    let asked: &mut Self = &mut all[*place];
                    if asked.told.replace((*at, *done)).is_some() {
                        return Err(format!("change {number} is answered twice"));
                    }
                }
                _ => {}
            }
        }
        Ok(all)
    }

    fn may_have_happened(&self) -> bool {
        !matches!(self.told, Some((_, None)))
    }

    /// Whether the event of this version may be its.
    ///
    /// The store repeats what it was not told. What it learns then may be of later: that of a stream which was set apart
    /// once more meanwhile, or the last event of one that is restored.
    fn may_have_written(&self, version: Version) -> bool {
        let may_be_there = match self.told {
            None => true,
            Some((_, Some(Done::At(_, at)))) => at >= version,
            Some(_) => false,
        };
        let was_as_expected =
            self.change.what == What::Restore || self.change.version.next() == Some(version);
        may_be_there && was_as_expected
    }
}

/// Whether what is left of these streams, in the order of positions, is what was asked for and answered.
pub(crate) fn check(left: &[&Left], history: &History, changes: &[Asked]) -> Result<Kept, String> {
    let mut streams: BTreeMap<&StreamId, Stream<'_>> = BTreeMap::new();
    for &event in left {
        streams.entry(&event.event().stream).or_default().left.push(event);
    }
    for asked in changes {
        streams.entry(&asked.change.stream).or_default().changes.push(asked);
    }
    let mut appends: BTreeMap<EventId, Append<'_>> = BTreeMap::new();
    for operation in &history.operations {
        match &operation.request {
            Request::Append(parts) => {
                let [part] = &parts[..] else {
                    return Err(format!("it goes to several streams: {operation}"));
                };
                let first = part.ids.first().ok_or("an append without events")?;
                let append = appends.entry(*first).or_insert_with(|| Append { part, operations: Vec::new() });
                if (&append.part.stream, &append.part.ids) != (&part.stream, &part.ids) {
                    return Err(format!("it has an id of another: {operation}"));
                }
                append.operations.push(operation);
            }
            Request::Read(stream) => streams.entry(stream).or_default().reads.push(operation),
        }
    }
    for append in appends.values() {
        streams.entry(&append.part.stream).or_default().appends.push(append);
    }
    let mut kept = Kept::default();
    for (id, stream) in &streams {
        stream.check(&mut kept).map_err(|said| format!("stream {id}: {said}"))?;
    }
    check_causes(&streams)?;
    Ok(kept)
}

/// An append, by all who sent it.
struct Append<'a> {
    part: &'a Part,
    operations: Vec<&'a Operation>,
}

/// What is left of a stream, and all that was asked of it.
#[derive(Default)]
struct Stream<'a> {
    left: Vec<&'a Left>,
    appends: Vec<&'a Append<'a>>,
    changes: Vec<&'a Asked>,
    reads: Vec<&'a Operation>,
}

impl Stream<'_> {
    fn check(&self, kept: &mut Kept) -> Result<(), String> {
        for (place, version) in self.left.iter().zip(1..) {
            if place.event().version != Version(version) {
                return Err(format!("version {} is where {version} belongs", place.event().version));
            }
        }
        if !self.left.is_sorted_by(|one, next| one.event().position < next.event().position) {
            return Err("its positions are not in the order of its versions".to_owned());
        }
        let asked: HashSet<EventId> =
            self.appends.iter().flat_map(|append| &append.part.ids).copied().collect();
        for append in &self.appends {
            self.check_append(append, kept)?;
        }
        for (at, left) in self.left.iter().enumerate() {
            let is_marker = !asked.contains(&left.event().id);
            self.check_left(at, left, is_marker).map_err(|said| format!("{said}: {left:?}"))?;
            match left {
                Left::Live(_) => {}
                Left::Archived(_) => kept.archived += 1,
                Left::Erased(_) => kept.erased += 1,
            }
        }
        for change in &self.changes {
            self.check_change(change, &asked, kept).map_err(|said| format!("{said}: {change:?}"))?;
        }
        for read in &self.reads {
            self.check_read(read, kept).map_err(|said| format!("{said}: {read}"))?;
        }
        Ok(())
    }

    fn at(&self, version: Version) -> Option<&Left> {
        self.left.get(usize::try_from(version.0).ok()?.checked_sub(1)?).copied()
    }

    /// What is there of an append is there as a whole, and was not refused; what was acknowledged is there.
    fn check_append(&self, append: &Append<'_>, kept: &mut Kept) -> Result<(), String> {
        let ids = &append.part.ids;
        let begin = self.left.iter().position(|left| left.event().id == ids[0]);
        let there = begin.and_then(|begin| self.left.get(begin..begin + ids.len())).unwrap_or_default();
        if begin.is_some() && !there.iter().map(|left| left.event().id).eq(ids.iter().copied()) {
            return Err(format!("an append is not there as a whole: {}", append.operations[0]));
        }
        if begin.is_none()
            && let Some(left) = self.left.iter().find(|left| ids.contains(&left.event().id))
        {
            return Err(format!("an append is there without its beginning: {left:?}"));
        }
        let before = begin.filter(|begin| *begin > 0).map(|begin| self.left[begin - 1].event().version);
        let may_have_written = |operation: &&Operation| {
            let is_open =
                matches!(operation.answered, None | Some(Answered { answer: Answer::Appended { .. }, .. }));
            is_open && expected(operation).is_some_and(|expected| expected.is_met_by(before))
        };
        if begin.is_some() && !append.operations.iter().any(may_have_written) {
            let shown = append.operations[0];
            return Err(format!("all who asked for it were refused, or expected something else: {shown}"));
        }
        for operation in &append.operations {
            match operation.answered.as_ref().map(|answered| &answered.answer) {
                Some(Answer::Appended { position, versions }) => {
                    kept.appended += 1;
                    let last = there.last().map(|left| (left.event().position, left.event().version));
                    if last != versions.first().map(|version| (*position, *version)) {
                        return Err(format!("an append was acknowledged and is at {last:?}: {operation}"));
                    }
                }
                Some(Answer::Conflict(conflict)) => {
                    kept.refused += 1;
                    let is_fact = !conflict.expected.is_met_by(conflict.actual)
                        && conflict.actual.is_none_or(|actual| self.at(actual).is_some());
                    if !is_fact || expected(operation) != Some(conflict.expected) {
                        return Err(format!("a conflict that is none: {operation}"));
                    }
                }
                Some(Answer::Refused) => kept.refused += 1,
                Some(_) => return Err(format!("this is no answer to that: {operation}")),
                None => {}
            }
        }
        Ok(())
    }

    /// Somebody asked for what became of each event.
    fn check_left(&self, at: usize, left: &Left, is_marker: bool) -> Result<(), String> {
        let version = left.event().version;
        let last = self.left.last().ok_or("it is one of them")?;
        let closed = last.name().and_then(Closing::of_event);
        let is_last = at + 1 == self.left.len();
        let before = at.checked_sub(1).map(|before| self.left[before]);
        let asked = |what: What| {
            self.changes.iter().any(|asked| asked.change.what == what && asked.may_have_written(version))
        };
        let truncated = |least: u64| {
            self.changes.iter().any(|asked| {
                asked.change.what == What::Truncate
                    && asked.may_have_happened()
                    && asked.change.version.0 >= least
            })
        };
        let name = left.name();
        let closing = name.and_then(Closing::of_event);
        if is_marker {
            let is_asked = match (name, closing) {
                (_, Some(Closing::Archived)) => asked(What::Archive),
                (_, Some(Closing::Deleted)) => asked(What::Delete),
                (Some(RESTORED), _) => asked(What::Restore),
                // What it said is gone.
                (None | Some(TRUNCATED), _) => [What::Archive, What::Restore].into_iter().any(asked),
                _ => false,
            };
            if !is_asked {
                return Err("all who asked for what it says were refused, or nobody did".to_owned());
            }
        } else if name.is_some_and(|name| name != TRUNCATED && factum_core::retention::is_reserved(name)) {
            return Err("an event of a client has become one of the framework".to_owned());
        }
        match left {
            Left::Erased(_) if closed != Some(Closing::Deleted) && !truncated(version.0 + 2) => {
                return Err("it was erased, and nobody asked for that".to_owned());
            }
            Left::Erased(_) if before.is_some_and(|before| before.name().is_some()) => {
                return Err("it was erased, and what comes before it was not".to_owned());
            }
            Left::Archived(_) if is_last || closed != Some(Closing::Archived) => {
                return Err("it is set apart, and its stream is not".to_owned());
            }
            Left::Live(_) if !is_last && closed.is_some() => {
                return Err("its stream is closed, and it is there as before".to_owned());
            }
            _ => {}
        }
        if name == Some(TRUNCATED)
            && !self.changes.iter().any(|asked| {
                asked.change.what == What::Truncate
                    && asked.may_have_happened()
                    && asked.change.version.0 == version.0 + 1
            })
        {
            return Err("nobody asked for the stream to begin here".to_owned());
        }
        let begins = name.is_some() && before.is_some_and(|before| before.name().is_none());
        if begins && name != Some(TRUNCATED) && closing != Some(Closing::Deleted) {
            return Err("the stream begins here, and does not say so".to_owned());
        }
        match before.and_then(|before| before.name()).and_then(Closing::of_event) {
            Some(Closing::Deleted) => Err("something comes after the end of the stream".to_owned()),
            Some(Closing::Archived) if name != Some(RESTORED) => {
                Err("it follows on an archiving, and is no restoring".to_owned())
            }
            None if name == Some(RESTORED)
                && before.is_none_or(|before| before.name() != Some(TRUNCATED)) =>
            {
                Err("it restores what was not archived".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// What was done is there in the end, or what was done after it.
    fn check_change(&self, asked: &Asked, clients: &HashSet<EventId>, kept: &mut Kept) -> Result<(), String> {
        let Some((_, done)) = asked.told else {
            kept.changes_unknown += 1;
            return Ok(());
        };
        let Some(done) = done else {
            kept.changes_refused += 1;
            return Ok(());
        };
        *kept.done.entry(asked.change.what).or_default() += 1;
        let (position, version) = match done {
            Done::Cut => {
                let before = usize::try_from(asked.change.version.0).unwrap_or(usize::MAX).saturating_sub(1);
                let gone = self.left.get(..before).ok_or("it was truncated before what it never had")?;
                let is_gone =
                    gone.iter().rev().enumerate().all(|(at, left)| {
                        left.name().is_none() || (at == 0 && left.name() == Some(TRUNCATED))
                    });
                return is_gone.then_some(()).ok_or("it was truncated, and is there".to_owned());
            }
            Done::At(position, version) => (position, version),
        };
        let left = self.at(version).filter(|left| left.event().position == position);
        let left = left.ok_or("it was done, and the event that says so is not there")?;
        let is_marker = !clients.contains(&left.event().id);
        let says_so = match (asked.change.what, left.name()) {
            // Of a stream that is in use it is the last event, whatever that is.
            (What::Restore, name) => name.and_then(Closing::of_event).is_none(),
            (What::Archive, Some(TRUNCATED) | None) => is_marker,
            (What::Archive, Some(name)) => Closing::of_event(name) == Some(Closing::Archived),
            (What::Delete, name) => name.and_then(Closing::of_event) == Some(Closing::Deleted),
            (What::Truncate, _) => false,
        };
        says_so.then_some(()).ok_or_else(|| format!("it was done, and {left:?} does not say so"))
    }

    /// A read has no hole, ends where the stream did, and that is not before what was told already.
    fn check_read(&self, read: &Operation, kept: &mut Kept) -> Result<(), String> {
        let Some(Answered { answer: Answer::Read(events), .. }) = &read.answered else { return Ok(()) };
        kept.read += 1;
        for pair in events.windows(2) {
            if pair[0].1.next() != Some(pair[1].1) {
                return Err(format!("after version {} comes {}", pair[0].1, pair[1].1));
            }
        }
        for (id, version) in events {
            if self.at(*version).is_none_or(|left| left.event().id != *id) {
                return Err(format!("event {id} was read, and is not version {version}"));
            }
        }
        let last = events.last().map_or(Version::NONE, |(_, version)| *version);
        let told = self.told().filter(|(at, _)| *at < read.invoked).map(|(_, version)| version).max();
        match told {
            Some(told) if told > last => Err(format!("it ends before version {told}, which was told before")),
            _ => Ok(()),
        }
    }

    /// When somebody was told that the stream has come to a version.
    fn told(&self) -> impl Iterator<Item = (u64, Version)> {
        let operations = self.appends.iter().flat_map(|append| &append.operations).chain(&self.reads);
        let told = operations.filter_map(|operation| {
            let Answered { at, answer } = operation.answered.as_ref()?;
            let version = match answer {
                Answer::Appended { versions, .. } => *versions.first()?,
                Answer::Conflict(conflict) => conflict.actual?,
                Answer::Read(events) => events.last()?.1,
                _ => return None,
            };
            Some((*at, version))
        });
        told.chain(self.changes.iter().filter_map(|asked| match asked.told? {
            (at, Some(Done::At(_, version))) => Some((at, version)),
            _ => None,
        }))
    }
}

/// Law 6: what was asked for after something was told has the greater position.
fn check_causes(streams: &BTreeMap<&StreamId, Stream<'_>>) -> Result<(), String> {
    let mut told: Vec<(u64, Position)> = Vec::new();
    for stream in streams.values() {
        for operation in stream.appends.iter().flat_map(|append| &append.operations) {
            if let Some(Answered { at, answer: Answer::Appended { position, .. } }) = &operation.answered {
                told.push((*at, *position));
            }
        }
        told.extend(stream.changes.iter().filter_map(|asked| match asked.told? {
            (at, Some(Done::At(position, _))) => Some((at, position)),
            _ => None,
        }));
    }
    told.sort_unstable();
    let mut last = Position::START;
    for (_, position) in &mut told {
        last = last.max(*position);
        *position = last;
    }
    for stream in streams.values() {
        for append in &stream.appends {
            let first = stream.left.iter().find(|left| left.event().id == append.part.ids[0]);
            let began = append.operations.iter().map(|operation| operation.invoked).min();
            let (Some(first), Some(began)) = (first, began) else { continue };
            let Logged { position, .. } = first.event();
            let before = told[..told.partition_point(|(at, _)| *at < began)].last();
            if let Some((_, before)) = before.filter(|(_, before)| before >= position) {
                let shown = append.operations[0];
                return Err(format!("it is at {position}, and {before} was told before it began: {shown}"));
            }
        }
    }
    Ok(())
}

fn expected(operation: &Operation) -> Option<Expected> {
    match &operation.request {
        Request::Append(parts) => parts.first().map(|part| part.expected),
        Request::Read(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use factum_conformance::history::Recorder;
    use factum_core::store::Append;
    use factum_core::transfer::{Record, Transfer as _};
    use factum_memory::MemoryStore;

    use super::*;
    use crate::content;
    use crate::note::Seen;

    /// A run, as it was written down.
    #[derive(Clone)]
    struct Run {
        left: Vec<Left>,
        history: History,
        changes: Vec<Asked>,
    }

    impl Run {
        fn verdict(&self) -> Result<Kept, String> {
            check(&self.left.iter().collect::<Vec<_>>(), &self.history, &self.changes)
        }

        /// That it is told when this is otherwise.
        fn assert_told(&self, what: &str, change: impl FnOnce(&mut Self)) {
            let mut other = self.clone();
            change(&mut other);
            assert!(other.verdict().is_err(), "nobody tells: {what}");
        }

        fn place(&mut self, stream: &str, version: u64) -> &mut Left {
            let is_it = |left: &&mut Left| {
                left.event().stream == stream_of(stream) && left.event().version == Version(version)
            };
            self.left.iter_mut().find(is_it).unwrap()
        }

        fn without(&mut self, what: What, stream: &str) {
            let is_it = |asked: &Asked| asked.change.what == what && asked.change.stream == stream_of(stream);
            self.changes.retain(|asked| !is_it(asked));
        }

        fn answer(&mut self, number: usize) -> &mut Answer {
            &mut self.history.operations[number].answered.as_mut().unwrap().answer
        }
    }

    fn stream_of(id: &str) -> StreamId {
        StreamId::new("kept", id).unwrap()
    }

    /// Four streams, one in each state that there is.
    async fn run() -> Run {
        let (store, recorder) = (MemoryStore::new(), Recorder::new("keeper"));
        let mut changes = Vec::new();
        let append = async |id: &str, expected| {
            let events = (0..3).map(|_| content::event(EventId::new())).collect();
            let _ = recorder.append(&store, Append::to(stream_of(id), expected, events)).await;
        };
        let mut change = async |what, id: &str, version| {
            let change = Change { what, stream: stream_of(id), version: Version(version) };
            let done = change.apply(&store).await.ok();
            changes.push(Asked { change, told: Some((u64::MAX, done)) });
        };
        // Operations 0 to 5.
        for id in ["live", "archived", "truncated", "deleted"] {
            append(id, Expected::Any).await;
        }
        append("archived", Expected::Exactly(Version(1))).await;
        change(What::Archive, "archived", 3).await;
        append("archived", Expected::Any).await;
        change(What::Restore, "archived", 0).await;
        change(What::Truncate, "archived", 2).await;
        change(What::Archive, "archived", 5).await;
        change(What::Archive, "archived", 1).await;
        change(What::Archive, "live", 9).await;
        change(What::Truncate, "truncated", 3).await;
        change(What::Delete, "deleted", 3).await;
        // Operations 6 to 9.
        append("truncated", Expected::Any).await;
        for id in ["live", "archived", "truncated"] {
            recorder.read(&store, &stream_of(id)).await.unwrap();
        }
        let records = store.read_records(Position::START, 100, usize::MAX).await.unwrap();
        let left = records.into_iter().map(|record| match record {
            Record::Live(event) => Left::Live(Seen::from(&event)),
            Record::Archived(event) => Left::Archived(Seen::from(&event)),
            Record::Erased(place) => Left::Erased(Logged {
                id: place.id,
                stream: place.stream,
                version: place.version,
                position: place.position,
            }),
        });
        Run { left: left.collect(), history: recorder.history(), changes }
    }

    #[tokio::test]
    async fn what_was_asked_for_is_as_it_was_answered() {
        let kept = run().await.verdict().unwrap();
        let done = [(What::Archive, 3), (What::Restore, 1), (What::Truncate, 2), (What::Delete, 1)];
        let expected = Kept {
            appended: 5,
            refused: 2,
            read: 3,
            done: done.into(),
            changes_refused: 1,
            changes_unknown: 0,
            archived: 5,
            erased: 4,
        };
        assert_eq!(kept, expected);
    }

    #[tokio::test]
    async fn what_was_not_answered_may_have_happened() {
        let mut run = run().await;
        run.changes.iter_mut().for_each(|asked| asked.told = None);
        run.history.operations.iter_mut().for_each(|operation| operation.answered = None);
        assert_eq!(run.verdict().unwrap().changes_unknown, 8);
    }

    #[tokio::test]
    async fn each_event_is_there_that_was_answered() {
        let run = run().await;
        for at in 0..run.left.len() {
            run.assert_told(&format!("{:?} is lost", run.left[at]), |run| {
                run.left.remove(at);
            });
            run.assert_told(&format!("{:?} is somewhere else", run.left[at]), |run| {
                let (Left::Live(Seen { event, .. })
                | Left::Archived(Seen { event, .. })
                | Left::Erased(event)) = &mut run.left[at];
                event.position.0 += 100;
            });
        }
    }

    #[tokio::test]
    async fn nothing_is_done_that_nobody_asked_for() {
        let run = run().await;
        for (what, stream) in [
            (What::Archive, "archived"),
            (What::Restore, "archived"),
            (What::Truncate, "archived"),
            (What::Truncate, "truncated"),
            (What::Delete, "deleted"),
        ] {
            run.assert_told(&format!("{what:?} of {stream}"), |run| run.without(what, stream));
            // Nor that everybody was told was not done.
            run.assert_told(&format!("refused {what:?} of {stream}"), |run| {
                for asked in &mut run.changes {
                    if asked.change.what == what && asked.change.stream == stream_of(stream) {
                        asked.told = Some((0, None));
                    }
                }
            });
        }
    }

    #[tokio::test]
    async fn what_was_done_is_so_in_the_end() {
        let run = run().await;
        for (stream, version) in [("deleted", 1), ("deleted", 3), ("truncated", 1)] {
            run.assert_told(&format!("version {version} of {stream} is back"), |run| {
                let place = run.place(stream, version);
                let event = place.event().clone();
                *place = Left::Live(Seen { event, name: "soak.happened".to_owned(), is_whole: true });
            });
        }
        run.assert_told("an event is not set apart with its stream", |run| {
            let place = run.place("archived", 3);
            *place = Left::Live(place.seen().unwrap().clone());
        });
        run.assert_told("an event is set apart without its stream", |run| {
            let place = run.place("live", 2);
            *place = Left::Archived(place.seen().unwrap().clone());
        });
        run.assert_told("an event is erased", |run| {
            let place = run.place("live", 1);
            *place = Left::Erased(place.event().clone());
        });
        run.assert_told("a change was done, and nothing says so", |run| {
            let live = run.changes.iter_mut().find(|asked| asked.change.stream == stream_of("live"));
            live.unwrap().told = Some((0, Some(Done::At(Position(3), Version(3)))));
        });
    }

    #[tokio::test]
    async fn appends_are_whole_and_refusals_true() {
        let run = run().await;
        run.assert_told("an append was refused that is there", |run| *run.answer(0) = Answer::Refused);
        run.assert_told("an append expected something else", |run| {
            let Request::Append(parts) = &mut run.history.operations[0].request else { panic!("an append") };
            parts[0].expected = Expected::Exists;
        });
        run.assert_told("an append is at another version", |run| {
            let Answer::Appended { versions, .. } = run.answer(0) else { panic!("it was appended") };
            versions[0] = Version(2);
        });
        run.assert_told("a conflict is none", |run| {
            let Answer::Conflict(conflict) = run.answer(4) else { panic!("a conflict") };
            conflict.actual = Some(Version(1));
        });
        run.assert_told("somebody else's event is in an append", |run| {
            let Request::Append(parts) = &mut run.history.operations[0].request else { panic!("an append") };
            parts[0].ids[1] = EventId::new();
        });
    }

    #[tokio::test]
    async fn a_read_gives_all_that_was_answered_before() {
        let run = run().await;
        for at in 7..10 {
            run.assert_told(&format!("read {at} ends too early"), |run| {
                let Answer::Read(events) = run.answer(at) else { panic!("a read") };
                events.pop();
            });
            run.assert_told(&format!("read {at} has another event"), |run| {
                let Answer::Read(events) = run.answer(at) else { panic!("a read") };
                events.last_mut().unwrap().0 = EventId::new();
            });
        }
        run.assert_told("a read has a hole", |run| {
            let Answer::Read(events) = run.answer(7) else { panic!("a read") };
            events.remove(1);
        });
    }

    #[tokio::test]
    async fn positions_are_in_the_order_of_cause() {
        let run = run().await;
        run.assert_told("an append began after a later one was answered", |run| {
            let after = run.history.operations[6].answered.as_ref().unwrap().at;
            run.history.operations[1].invoked = after + 1;
        });
    }
}
