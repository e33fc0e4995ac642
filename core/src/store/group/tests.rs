//! Groups, lanes, and what happens when one of many appends fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::DateTime;
use tokio::sync::Semaphore;

use super::*;
use crate::{EventName, Expected, Metadata, NewEvent, Position, StreamId, Version};

fn append(id: &str) -> Append {
    let event = NewEvent {
        id: crate::EventId::new(),
        name: EventName::new("tested").expect("a name"),
        schema_version: 1,
        codec: "json".into(),
        payload: vec![0; 100].into(),
        metadata: Metadata::default(),
    };
    Append::to(StreamId::new("group", id).expect("a name"), Expected::Any, vec![event])
}

/// Commits when allowed to; fails every group that has the stream `group/poison`.
struct Gate {
    open: Arc<Semaphore>,
    groups: Arc<AtomicUsize>,
}

#[async_trait]
impl CommitGroup for Gate {
    async fn commit_group(
        &self,
        group: &[Append],
        _: Turn,
    ) -> Result<Vec<Result<Appended, AppendError>>, StoreError> {
        self.open.acquire().await.expect("never closed").forget();
        self.groups.fetch_add(1, Ordering::SeqCst);
        if group.iter().any(|append| append.streams()[0].stream.id() == "poison") {
            return Err(StoreError::new(StoreErrorKind::Other, "append"));
        }
        let appended =
            Appended { position: Position(1), recorded_at: DateTime::UNIX_EPOCH, versions: vec![Version(1)] };
        Ok(group.iter().map(|_| Ok(appended.clone())).collect())
    }
}

fn gate(limits: GroupLimits) -> (GroupCommit<Gate>, Arc<Semaphore>, Arc<AtomicUsize>) {
    let (open, groups) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let queue = GroupCommit::new(Gate { open: open.clone(), groups: groups.clone() }, limits);
    (queue, open, groups)
}

/// The outcomes of appends that all wait before the first may commit.
async fn outcomes(
    queue: &GroupCommit<Gate>,
    open: &Semaphore,
    ids: &[&'static str],
) -> Vec<Result<Appended, AppendError>> {
    let mut waiting = Vec::new();
    for &id in ids {
        let queue = queue.clone();
        waiting.push(tokio::spawn(async move { queue.append(append(id)).await }));
        tokio::task::yield_now().await;
    }
    open.add_permits(100);
    let mut outcomes = Vec::new();
    for task in waiting {
        outcomes.push(task.await.expect("no panic"));
    }
    outcomes
}

#[tokio::test]
async fn what_waits_together_is_committed_together() {
    let (queue, open, groups) = gate(GroupLimits::default());
    let all = outcomes(&queue, &open, &["a", "b", "c", "d"]).await;
    assert!(all.iter().all(Result::is_ok));
    // The first went alone, because nobody waited with it; the other three shared the second.
    assert_eq!(groups.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_poisonous_append_fails_alone() {
    let (queue, open, _) = gate(GroupLimits::default());
    let all = outcomes(&queue, &open, &["a", "b", "poison", "d"]).await;
    let failed: Vec<bool> = all.iter().map(Result::is_err).collect();
    assert_eq!(failed, [false, false, true, false]);
}

#[tokio::test]
async fn a_group_is_bounded_in_bytes() {
    let (queue, open, groups) = gate(GroupLimits { bytes_max: 250, ..GroupLimits::default() });
    let all = outcomes(&queue, &open, &["a", "b", "c", "d", "e"]).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(groups.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_caller_that_leaves_disturbs_nobody() {
    let (queue, open, _) = gate(GroupLimits::default());
    let gone = tokio::spawn({
        let queue = queue.clone();
        async move { queue.append(append("gone")).await }
    });
    tokio::task::yield_now().await;
    gone.abort();
    assert!(outcomes(&queue, &open, &["a", "b"]).await.iter().all(Result::is_ok));
}

/// Notes what is committed together; every stream named in `trouble` fails once in the way it says.
#[derive(Default)]
struct Noted {
    groups: Mutex<Vec<Vec<String>>>,
    trouble: Mutex<Vec<(&'static str, Trouble)>>,
    at_work: AtomicUsize,
    at_work_max: AtomicUsize,
}

#[derive(Clone, Copy, PartialEq)]
enum Trouble {
    Panic,
    Fail(&'static StoreErrorKind),
    Forever(&'static StoreErrorKind),
}

struct Troubled(Arc<Noted>);

#[async_trait]
impl CommitGroup for Troubled {
    async fn commit_group(
        &self,
        group: &[Append],
        _: Turn,
    ) -> Result<Vec<Result<Appended, AppendError>>, StoreError> {
        let ids: Vec<String> =
            group.iter().map(|append| append.streams()[0].stream.id().to_owned()).collect();
        self.0.groups.lock().expect("lives").push(ids.clone());
        let at_work = self.0.at_work.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.at_work_max.fetch_max(at_work, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.0.at_work.fetch_sub(1, Ordering::SeqCst);
        let trouble = {
            let mut troubles = self.0.trouble.lock().expect("lives");
            let at = troubles.iter().position(|(id, _)| ids.iter().any(|known| known == id));
            at.map(|at| match troubles[at].1 {
                trouble @ Trouble::Forever(_) => trouble,
                _ => troubles.remove(at).1,
            })
        };
        match trouble {
            Some(Trouble::Panic) => panic!("as the test wants it"),
            Some(Trouble::Fail(kind) | Trouble::Forever(kind)) => {
                Err(StoreError::new(kind.clone(), "append"))
            }
            None => {
                let appended = Appended {
                    position: Position(1),
                    recorded_at: DateTime::UNIX_EPOCH,
                    versions: vec![Version(1)],
                };
                Ok(group.iter().map(|_| Ok(appended.clone())).collect())
            }
        }
    }
}

fn troubled(limits: GroupLimits, trouble: &[(&'static str, Trouble)]) -> (GroupCommit<Troubled>, Arc<Noted>) {
    let noted = Arc::new(Noted { trouble: Mutex::new(trouble.to_vec()), ..Noted::default() });
    (GroupCommit::new(Troubled(Arc::clone(&noted)), limits), noted)
}

const APART: GroupLimits = GroupLimits {
    waiting_max: 1024,
    events_max: 1000,
    bytes_max: 4 << 20,
    lanes: 2,
    alone_max: 2,
    streams_are_shared: false,
    claims_max: 256,
    patience: Duration::from_mins(1),
};

async fn all(queue: &GroupCommit<Troubled>, ids: &[&'static str]) -> Vec<Result<Appended, AppendError>> {
    let appends = ids.iter().map(|&id| {
        let queue = queue.clone();
        async move { queue.append(append(id)).await }
    });
    futures_util::future::join_all(appends).await
}

#[tokio::test(start_paused = true)]
async fn streams_that_are_not_shared_are_committed_one_after_the_other() {
    let (queue, noted) = troubled(APART, &[]);
    assert!(all(&queue, &["a", "a", "b", "a", "c", "b"]).await.iter().all(Result::is_ok));
    let groups = noted.groups.lock().expect("lives").clone();
    for group in &groups {
        let distinct: HashSet<_> = group.iter().collect();
        assert_eq!(distinct.len(), group.len(), "{groups:?}");
    }
    assert_eq!(groups.concat().len(), 6);
    assert_eq!(noted.at_work_max.load(Ordering::SeqCst), 2, "two lanes work at the same time: {groups:?}");
}

/// The append of an event with a tag, on the condition that there is none with that tag.
fn decided(id: &str, tag: &str) -> Append {
    let tag = crate::Tag::new(tag).expect("a tag");
    let mut parts = append(id).into_streams();
    let mut part = parts.pop().expect("it has one");
    part.events[0].metadata.tags.insert(tag.clone());
    let query = crate::EventQuery::of(crate::QueryItem::tagged(tag));
    Append::to(part.stream, part.expected, part.events)
        .only_if(crate::store::Condition::nothing_matches(query))
}

#[tokio::test(start_paused = true)]
async fn those_that_exclude_each_other_are_committed_one_after_the_other() {
    let (queue, noted) = troubled(APART, &[]);
    let appends = [("1", "a"), ("2", "a"), ("3", "b"), ("4", "a"), ("5", "c"), ("6", "b"), ("7", "a")];
    let waiting = appends.map(|(id, tag)| queue.append(decided(id, tag)));
    assert!(futures_util::future::join_all(waiting).await.iter().all(Result::is_ok));
    let groups = noted.groups.lock().expect("lives").clone();
    let tags_of = |ids: &Vec<String>| -> Vec<&str> {
        ids.iter()
            .filter_map(|id| appends.iter().find(|(known, _)| known == id))
            .map(|(_, tag)| *tag)
            .collect()
    };
    for group in &groups {
        let tags = tags_of(group);
        let distinct: HashSet<_> = tags.iter().collect();
        assert_eq!(distinct.len(), tags.len(), "{groups:?}");
    }
    // In the order in which they came: nobody is overtaken by one that it excludes.
    let order =
        |tag| groups.iter().flatten().filter(|id| tags_of(&vec![(*id).clone()]) == [tag]).collect::<Vec<_>>();
    assert_eq!(order("a"), ["1", "2", "4", "7"]);
    assert_eq!(order("b"), ["3", "6"]);
    assert!(groups.iter().any(|group| group.len() > 1), "what is unrelated goes together: {groups:?}");
    assert!(queue.shared.queue().claimed.is_empty(), "what is done claims nothing");
}

#[tokio::test(start_paused = true)]
async fn one_that_claims_everything_has_its_turn() {
    let (queue, noted) = troubled(APART, &[]);
    let everything = || {
        let all = crate::store::Condition::nothing_matches(crate::EventQuery::all());
        append("everything").only_if(all)
    };
    let waiting = [append("a"), everything(), append("b"), append("c"), everything()]
        .map(|append| queue.append(append));
    let all = futures_util::future::join_all(waiting);
    assert!(
        tokio::time::timeout(Duration::from_secs(1), all).await.expect("in turn").iter().all(Result::is_ok)
    );
    let groups = noted.groups.lock().expect("lives").clone();
    let order = ["a", "everything", "b", "c", "everything"];
    assert_eq!(groups.concat(), order);
    assert!(
        groups.iter().all(|group| group.len() == 1 || !group.contains(&"everything".to_owned())),
        "{groups:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_group_claims_no_more_than_it_may() {
    let (queue, noted) = troubled(GroupLimits { claims_max: 6, lanes: 1, ..APART }, &[]);
    let waiting = ["a", "b", "c", "d", "e", "f"].map(|tag| queue.append(decided(tag, tag)));
    assert!(futures_util::future::join_all(waiting).await.iter().all(Result::is_ok));
    let sizes: Vec<_> = noted.groups.lock().expect("lives").iter().map(Vec::len).collect();
    assert_eq!(sizes, [1, 3, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_an_unknown_outcome_and_stops_nobody_else() {
    let (queue, _) = troubled(APART, &[("a", Trouble::Panic)]);
    let outcomes = all(&queue, &["a", "a", "b"]).await;
    let Err(AppendError::Store(error)) = &outcomes[0] else { panic!("{outcomes:?}") };
    assert_eq!(*error.kind(), StoreErrorKind::OutcomeUnknown);
    assert!(outcomes[1].is_ok() && outcomes[2].is_ok(), "{outcomes:?}");
    queue.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_tried_again_as_it_was() {
    use StoreErrorKind::{OutcomeUnknown, Unavailable};
    let trouble = [("b", Trouble::Fail(&Unavailable)), ("b", Trouble::Fail(&OutcomeUnknown))];
    let (queue, noted) = troubled(GroupLimits { lanes: 1, ..APART }, &trouble);
    assert!(all(&queue, &["a", "b", "c"]).await.iter().all(Result::is_ok));
    let groups = noted.groups.lock().expect("lives").clone();
    assert_eq!(groups, [vec!["a"], vec!["b", "c"], vec!["b", "c"], vec!["b", "c"]]);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_was_unknown_stays_so_until_it_is_known() {
    use StoreErrorKind::{Full, OutcomeUnknown};
    let trouble = [("a", Trouble::Fail(&OutcomeUnknown)), ("a", Trouble::Forever(&Full))];
    let (queue, _) = troubled(APART, &trouble);
    let outcomes = all(&queue, &["a"]).await;
    let Err(AppendError::Store(error)) = &outcomes[0] else { panic!("{outcomes:?}") };
    assert_eq!(*error.kind(), OutcomeUnknown);
}

#[tokio::test(start_paused = true)]
async fn one_that_keeps_failing_stops_no_other() {
    let (queue, noted) =
        troubled(GroupLimits { lanes: 1, ..APART }, &[("b", Trouble::Forever(&StoreErrorKind::Busy))]);
    let stuck = tokio::spawn({
        let queue = queue.clone();
        async move { all(&queue, &["a", "b", "c"]).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    // It is tried again and again meanwhile, beside the lane, and only its own stream waits.
    assert!(all(&queue, &["d", "e"]).await.iter().all(Result::is_ok));
    let behind = queue.append(append("b"));
    assert!(tokio::time::timeout(Duration::from_secs(1), behind).await.is_err());
    noted.trouble.lock().expect("lives").clear();
    assert!(stuck.await.expect("no panic").iter().all(Result::is_ok));
    queue.close().await;
}

/// Answers for all but `b`, whose look-up fails the first time.
struct OneIll(AtomicUsize);

#[async_trait]
impl CommitGroup for OneIll {
    async fn commit_group(
        &self,
        group: &[Append],
        _: Turn,
    ) -> Result<Vec<Result<Appended, AppendError>>, StoreError> {
        let appended =
            Appended { position: Position(1), recorded_at: DateTime::UNIX_EPOCH, versions: vec![Version(1)] };
        let of = |append: &Append| {
            if append.streams()[0].stream.id() == "b" && self.0.fetch_add(1, Ordering::SeqCst) == 0 {
                return Err(StoreError::new(StoreErrorKind::Unavailable, "append").into());
            }
            Ok(appended.clone())
        };
        Ok(group.iter().map(of).collect())
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_among_committed_ones_goes_on_by_itself() {
    let queue = GroupCommit::new(OneIll(AtomicUsize::new(0)), APART);
    let appends = ["a", "b", "b", "c"].map(|id| queue.append(append(id)));
    let outcomes = futures_util::future::join_all(appends).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(queue.shared.committer.0.load(Ordering::SeqCst), 3);
    queue.close().await;
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_what_was_taken_and_takes_nothing_more() {
    let (queue, _) = troubled(APART, &[]);
    let waiting = tokio::spawn({
        let queue = queue.clone();
        async move { all(&queue, &["a", "a", "a"]).await }
    });
    tokio::task::yield_now().await;
    queue.close().await;
    let refused = queue.append(append("b")).await;
    let Err(AppendError::Store(error)) = refused else { panic!("{refused:?}") };
    assert_eq!(*error.kind(), StoreErrorKind::Closed);
    assert!(waiting.await.expect("no panic").iter().all(Result::is_ok));
}

#[test]
fn the_end_of_the_runtime_is_an_unknown_outcome() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (queue, _) = runtime.block_on(async { troubled(APART, &[]) });
    drop(runtime);
    let outcome = futures_util::FutureExt::now_or_never(queue.append(append("a"))).expect("answered at once");
    let Err(AppendError::Store(error)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(*error.kind(), StoreErrorKind::OutcomeUnknown);
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_holds_up_all_is_waited_for_once() {
    let busy = Trouble::Forever(&StoreErrorKind::Busy);
    let (queue, noted) = troubled(GroupLimits::default(), &[("a", busy), ("b", busy)]);
    let ids: Vec<_> = iter::once("a").chain(iter::repeat_n("b", 63)).collect();
    let outcomes = all(&queue, &ids).await;
    let is_busy = |outcome: &Result<Appended, AppendError>| matches!(outcome, Err(AppendError::Store(error)) if *error.kind() == StoreErrorKind::Busy);
    assert!(outcomes.iter().all(is_busy), "{outcomes:?}");
    // Each attempt waits as long as a call may: one for each append would be a minute for the last.
    let sizes: Vec<_> = noted.groups.lock().expect("lives").iter().map(Vec::len).collect();
    assert_eq!(sizes, [1, 63]);
}
