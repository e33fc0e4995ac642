//! What does not hold up the feed: transactions that write something else than events.

use factum_core::Position;
use factum_core::Transactional;
use factum_core::store::ReadAll;

use crate::Fixture;
use crate::given::{ids_of, some, stream};
use crate::others::{Others, begin, follow, one_event};
use crate::seen::{everything, ids, page, soon};

/// A transaction that writes and appends nothing stalls no reader, however long it is open: who may append meanwhile is
/// read meanwhile, holes and all.
pub async fn a_transaction_that_appends_nothing_stalls_nobody<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let mut wanted = one_event(store, "before").await;
    for turn in 0..4 {
        let after = wanted.last().expect("there are some").position;
        let mut tx = begin(store).await;
        fixture.work(&mut tx, &turn.to_string()).await;
        // Nothing was recorded since, so this is the end for all who read, at once.
        let end = page(store, &ReadAll::after(after)).await;
        assert!(end.events.is_empty() && end.end, "in turn {turn}: {end:?}");
        let all = soon("reading the feed", page(store, &ReadAll::after(Position::START))).await.events;
        assert_eq!(all, wanted, "in turn {turn}");

        let visible = some(&stream("visible"), 2);
        let others = Others::append_behind_a_hole(store, visible.clone()).await;
        let followed = if others.are_done() {
            // The transaction is open all the while.
            let followed =
                soon("reading what others append", follow(store.clone(), ReadAll::after(after), 2)).await;
            end_with_work(store, tx, turn % 2 == 0).await;
            followed
        } else {
            end_with_work(store, tx, turn % 2 == 0).await;
            soon("reading what others append", follow(store.clone(), ReadAll::after(after), 2)).await
        };
        others.done().await;
        assert_eq!(ids(&followed), ids_of(&visible), "in turn {turn}");
        wanted.extend(followed);
    }
    let mut done = fixture.work_done().await;
    done.sort();
    assert_eq!(done, ["0", "2"]);
    assert_eq!(everything(store).await, wanted);
}

/// What a transaction did before it appended holds nothing: it holds the feed from its append on.
pub async fn work_before_an_append_holds_nothing<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let after = one_event(store, "before").await[0].position;
    let mut tx = begin(store).await;
    fixture.work(&mut tx, "work").await;
    let (between, own, behind) = (some(&stream("1"), 1), some(&stream("2"), 1), some(&stream("3"), 1));
    let others = Others::append(store, between.clone()).await;
    store.append_in(&mut tx, own.clone()).await.expect("nothing is expected");
    let latecomers = Others::append(store, behind.clone()).await;
    // What they were done with before the append is read before it ends, and nothing else is.
    let overtook = if others.are_done() { ids_of(&between) } else { Vec::new() };
    let seen =
        soon("reading what others append", follow(store.clone(), ReadAll::after(after), overtook.len()))
            .await;
    assert_eq!(ids(&seen), overtook);
    let held = seen.last().map_or(after, |event| event.position);
    assert_eq!(ids(&page(store, &ReadAll::after(held)).await.events), []);

    store.commit(tx).await.expect("it commits");
    let (between, behind) = (others.done().await, latecomers.done().await);
    let followed = soon("the end of following", follow(store.clone(), ReadAll::after(after), 3)).await;
    let at = |position| followed.iter().position(|event| event.position == position);
    let own = followed.iter().position(|event| ids_of(&own) == [event.id]);
    let order = if overtook.is_empty() { [own, at(between.position)] } else { [at(between.position), own] };
    assert!(order.is_sorted() && own < at(behind.position), "{followed:?}");
    assert_eq!(fixture.work_done().await, ["work"]);
}

async fn end_with_work<S: Transactional>(store: &S, tx: S::Tx, is_kept: bool) {
    if is_kept {
        store.commit(tx).await.expect("it commits");
    } else {
        drop(tx);
    }
}
