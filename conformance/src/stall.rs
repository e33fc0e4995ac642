//! What holds up the feed, and what does not: an append in a transaction that is open, up to its end and no longer.
//!
//! Stores differ in who may append meanwhile. In some everybody may, and those who read must not come to it; in others
//! everybody waits for their turn, and must get it. Each promise here asks for one or the other, whichever the store does.

use std::collections::HashSet;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use factum_core::store::{Append, Filter, ReadAll};
use factum_core::{Checkpoint, Position, Transactional};

use crate::Fixture;
use crate::given::{ids_of, some, stream};
use crate::others::{Others, begin, follow, one_event};
use crate::seen::{append, checkpoint_moved, everything, ids, page, soon, walk};

/// **Law 8.** What stands behind an open append is shown to nobody, and nobody's checkpoint passes it; when it is
/// committed, everything comes, once and in order.
pub async fn an_open_append_holds_the_feed_at_its_position<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let (before, open, behind) = (some(&stream("1"), 1), some(&stream("2"), 2), some(&stream("3"), 1));
    let until = append(store, before.clone()).await.position;
    assert_eq!(ids(&walk(store, ReadAll::after(Position::START), until).await), ids_of(&before));

    let mut tx = begin(store).await;
    store.append_in(&mut tx, open.clone()).await.expect("nothing is expected");
    let follower = tokio::spawn(follow(store.clone(), ReadAll::after(until), 3));
    let others = Others::append(store, behind.clone()).await;
    let mut passed = Position::START;
    for filter in [Filter::all(), Filter { streams: vec![stream("3")], ..Filter::all() }] {
        let read = ReadAll::after(until).filter(filter);
        let page = soon("reading the feed", page(store, &read)).await;
        assert_eq!(ids(&page.events), [], "by {read:?}");
        passed = passed.max(page.checkpoint.position);
    }
    assert!(!follower.is_finished(), "a follower sees what stands behind an open append");

    store.commit(tx).await.expect("it commits");
    others.done().await;
    let wanted: Vec<_> = ids_of(&open).into_iter().chain(ids_of(&behind)).collect();
    let followed = soon("the end of following", follower).await.expect("a follower does not panic");
    assert_eq!(ids(&followed), wanted);
    assert!(passed < followed[0].position, "{passed} is not before {}", followed[0].position);
    assert_eq!(everything(store).await[1..], followed);
}

/// An append in a transaction that the store has rolled back is passed, and whoever waits behind it is woken.
pub async fn an_append_that_is_rolled_back_is_passed<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let mut wanted = one_event(store, "before").await;
    for turn in 0..5 {
        let after = wanted.last().expect("there are some").position;
        let mut tx = begin(store).await;
        store.append_in(&mut tx, some(&stream("gone"), 2)).await.expect("nothing is expected");
        let behind = some(&stream("behind"), 1);
        let follower = tokio::spawn(follow(store.clone(), ReadAll::after(after), 1));
        let others = Others::append(store, behind.clone()).await;
        // Its checkpoint is elsewhere.
        let elsewhere = Checkpoint::from(Position(after.0 + 1));
        let refused = store.commit_with_checkpoint(tx, "s", elsewhere, elsewhere).await;
        assert_eq!(checkpoint_moved(refused), (elsewhere.position, Position::START), "in turn {turn}");
        others.done().await;
        let followed =
            soon("passing what was rolled back", follower).await.expect("a follower does not panic");
        assert_eq!(ids(&followed), ids_of(&behind), "in turn {turn}");
        wanted.extend(followed);
    }
    assert_eq!(everything(store).await, wanted);
}

/// An append in a transaction that was dropped, be it in the midst of the append, is passed soon.
pub async fn an_append_that_is_dropped_is_passed<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let mut wanted = one_event(store, "before").await;
    // More often than a store has connections to lose.
    for turn in 0..24 {
        let after = wanted.last().expect("there are some").position;
        let mut tx = begin(store).await;
        {
            let appending = pin!(store.append_in(&mut tx, some(&stream("gone"), 2)));
            give_up(appending, [usize::MAX, 1, 2, 5][turn % 4]).await;
        }
        let behind = some(&stream("behind"), 1);
        let others = Others::append(store, behind.clone()).await;
        drop(tx);
        others.done().await;
        let followed =
            soon("passing what was dropped", follow(store.clone(), ReadAll::after(after), 1)).await;
        assert_eq!(ids(&followed), ids_of(&behind), "in turn {turn}");
        wanted.extend(followed);
    }
    assert_eq!(everything(store).await, wanted);
}

/// An open append holds the feed for itself, and not for those before it: where there is always one open, and always
/// something behind it, the feed goes on from one to the next.
pub async fn each_open_append_holds_for_itself<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let mut wanted = ids(&one_event(store, "before").await);
    let open = |turn: usize| stream(&turn.to_string());
    let opens = |append: Append| {
        let store = store.clone();
        async move {
            let mut tx = begin(&store).await;
            store.append_in(&mut tx, append).await.expect("nothing is expected");
            tx
        }
    };
    let mut given = some(&open(0), 1);
    let mut tx = opens(given.clone()).await;
    let mut others = Vec::new();
    for turn in 0..5 {
        // Opened before the one before it ends, where that is possible.
        let next = some(&open(turn + 1), 1);
        let opening = Others::wait_for(tokio::spawn(opens(next.clone()))).await;
        let behind = some(&stream("behind"), 1);
        others.push(Others::append(store, behind.clone()).await);
        let read = ReadAll::after(Position::START);
        let read = read.filter(Filter { streams: vec![open(turn)], ..Filter::all() });
        let follower = tokio::spawn(follow(store.clone(), read, 1));
        store.commit(tx).await.expect("it commits");
        let next_tx = opening.done().await;
        let followed = soon("going on to the next", follower).await.expect("a follower does not panic");
        assert_eq!(ids(&followed), ids_of(&given), "in turn {turn}");
        wanted.extend(ids_of(&given));
        wanted.extend(ids_of(&behind));
        (tx, given) = (next_tx, next);
    }
    drop(tx);
    for others in others {
        others.done().await;
    }
    let all: HashSet<_> = ids(&soon("passing the last", everything(store)).await).into_iter().collect();
    assert_eq!(all, wanted.into_iter().collect());
}

/// Polls `future` so often, unless it is done before; whoever calls drops it.
async fn give_up<T>(mut future: Pin<&mut impl Future<Output = T>>, polls: usize) {
    let mut left = polls;
    poll_fn(|context| {
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Pending if left > 0 => Poll::Pending,
            _ => Poll::Ready(()),
        }
    })
    .await;
}
