//! The verdict on a run of orders: whether each step was taken once, and each order came to the end that it was to have.

use std::collections::BTreeSet;

use super::domain::{Filled, Held, LetGo, StockEvent, Taken};
use super::story::{Story, Tale};

/// How the orders have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) shipped: usize,
    /// Of these, those whose customer has paid although the deadline had come.
    pub(crate) shipped_late: usize,
    pub(crate) sold_out: usize,
    pub(crate) refused: usize,
    pub(crate) timed_out: usize,
}

/// Whether each of so many orders has had its one story. Says what is wrong with the first that has not.
pub(crate) fn judge(story: &Story, orders: u64) -> Result<Ends, String> {
    let mut ends = Ends::default();
    for order in 1..=orders {
        let tale = story.orders.get(&order).ok_or_else(|| format!("order {order} is not there"))?;
        judge_order(tale, &mut ends).map_err(|said| format!("order {order}: {said}: {:?}", tale.moments))?;
    }
    if let Some(other) = story.orders.keys().find(|order| !(1..=orders).contains(*order)) {
        return Err(format!("nobody has placed order {other}"));
    }
    for (item, changes) in &story.items {
        judge_item(changes).map_err(|said| format!("{item}: {said}"))?;
    }
    Ok(ends)
}

fn judge_order(tale: &Tale, ends: &mut Ends) -> Result<(), String> {
    let times = |name: &str| tale.all(name).len();
    // Nobody looks whether it was done already, so that it was done once is the framework's work.
    if let Some((name, moments)) = tale.moments.iter().find(|(_, moments)| moments.len() > 1) {
        return Err(format!("{name} {} times", moments.len()));
    }
    let both = |one: &str, other: &str| {
        if times(one) == times(other) { Ok(()) } else { Err(format!("{one} and {other} belong together")) }
    };
    let after = |effect: &str, cause: &str| match (tale.first(effect), tale.first(cause)) {
        (Some(effect), Some(cause)) if effect.position > cause.position => Ok(()),
        (None, _) => Ok(()),
        _ => Err(format!("{effect} without {cause} before")),
    };
    if times("order.placed") != 1 {
        return Err("it was not placed".to_owned());
    }
    if times("order.shipped") + times("order.cancelled") != 1 {
        return Err("it has one end".to_owned());
    }
    both("order.placed", "fulfilment.begun")?;
    for (one, other) in [
        ("stock.held", "fulfilment.stock_held"),
        ("stock.held", "payment.requested"),
        ("payment.received", "fulfilment.paid"),
        ("payment.received", "stock.taken"),
        ("payment.received", "fulfilment.packed"),
        ("payment.received", "order.shipped"),
        ("fulfilment.given_up", "order.cancelled"),
        ("fulfilment.stock_returned", "stock.let_go"),
    ] {
        both(one, other)?;
    }
    for (effect, cause) in [
        ("order.shipped", "payment.received"),
        ("payment.received", "payment.requested"),
        ("stock.taken", "stock.held"),
        ("stock.let_go", "stock.held"),
        ("payment.withdrawn", "fulfilment.patience_lost"),
        ("fulfilment.patience_lost", "fulfilment.stock_held"),
    ] {
        after(effect, cause)?;
    }
    let answers = times("payment.received") + times("payment.refused") + times("payment.withdrawn");
    if answers != times("payment.requested") {
        return Err(format!("{answers} answers to a payment that was asked for"));
    }
    if times("stock.let_go") + times("stock.taken") != times("stock.held") {
        return Err("what was held was neither taken nor let go".to_owned());
    }
    judge_deadline(tale)?;
    if tale.has("order.shipped") {
        ends.shipped += 1;
        ends.shipped_late += times("fulfilment.patience_lost");
    } else if tale.has("payment.refused") {
        ends.refused += 1;
    } else if tale.has("payment.withdrawn") {
        ends.timed_out += 1;
    } else {
        ends.sold_out += 1;
    }
    Ok(())
}

/// It comes once and not before its time where nothing was heard of the customer by then, and never where something was.
fn judge_deadline(tale: &Tale) -> Result<(), String> {
    let heard = ["fulfilment.paid", "fulfilment.given_up"];
    let heard = heard.iter().filter_map(|name| tale.first(name)).min_by_key(|moment| moment.position);
    match (tale.first("fulfilment.patience_lost"), tale.due.first()) {
        (None, _) if tale.has("payment.withdrawn") => {
            Err("withdrawn, and the deadline did not come".to_owned())
        }
        (None, _) => Ok(()),
        (Some(_), None) => Err("a deadline that was not set".to_owned()),
        (Some(came), Some(due)) if came.at < *due => {
            Err(format!("the deadline was {due}, and came at {}", came.at))
        }
        (Some(came), Some(_)) => match heard {
            Some(heard) if heard.position < came.position => {
                Err("the deadline came though the customer had been heard of".to_owned())
            }
            _ => Ok(()),
        },
    }
}

fn judge_item(changes: &[StockEvent]) -> Result<(), String> {
    let (mut filled, mut taken, mut held) = (0, BTreeSet::new(), BTreeSet::new());
    for change in changes {
        let is_right = match change {
            StockEvent::Filled(Filled { amount }) => {
                filled += usize::try_from(*amount).map_err(|error| error.to_string())?;
                true
            }
            StockEvent::Held(Held { order }) => held.len() + taken.len() < filled && held.insert(*order),
            StockEvent::LetGo(LetGo { order }) => held.remove(order),
            StockEvent::Taken(Taken { order }) => held.remove(order) && taken.insert(*order),
        };
        if !is_right {
            return Err(format!("{change:?}, with {held:?} held and {taken:?} taken of {filled}"));
        }
    }
    if held.is_empty() { Ok(()) } else { Err(format!("{held:?} are held for ever")) }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};

    use super::*;
    use crate::orders::story::Moment;

    const SHIPPED: [&str; 11] = [
        "order.placed",
        "fulfilment.begun",
        "stock.held",
        "fulfilment.stock_held",
        "payment.requested",
        "payment.received",
        "fulfilment.paid",
        "stock.taken",
        "fulfilment.packed",
        "order.shipped",
        "",
    ];
    const TIMED_OUT: [&str; 11] = [
        "order.placed",
        "fulfilment.begun",
        "stock.held",
        "fulfilment.stock_held",
        "payment.requested",
        "fulfilment.patience_lost",
        "payment.withdrawn",
        "fulfilment.stock_returned",
        "fulfilment.given_up",
        "stock.let_go",
        "order.cancelled",
    ];

    fn at(seconds: usize) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(i64::try_from(seconds).unwrap())
    }

    /// A second passes from one to the next. The customer is to have paid at second 5.
    fn tale(names: &[&str]) -> Tale {
        let mut tale = Tale { due: vec![at(5)], ..Tale::default() };
        for (second, name) in names.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            let position = factum_core::Position(u64::try_from(second).unwrap() + 1);
            tale.moments.entry((*name).to_owned()).or_default().push(Moment { position, at: at(second) });
        }
        tale
    }

    fn verdict(names: &[&str]) -> Result<Ends, String> {
        let mut ends = Ends::default();
        judge_order(&tale(names), &mut ends).map(|()| ends)
    }

    #[test]
    fn an_order_has_one_of_its_stories() {
        assert_eq!(verdict(&SHIPPED), Ok(Ends { shipped: 1, ..Ends::default() }));
        assert_eq!(verdict(&TIMED_OUT), Ok(Ends { timed_out: 1, ..Ends::default() }));
        let sold_out = ["order.placed", "fulfilment.begun", "fulfilment.given_up", "order.cancelled"];
        assert_eq!(verdict(&sold_out), Ok(Ends { sold_out: 1, ..Ends::default() }));
        let refused = TIMED_OUT.map(|name| match name {
            "fulfilment.patience_lost" => "",
            "payment.withdrawn" => "payment.refused",
            name => name,
        });
        assert_eq!(verdict(&refused), Ok(Ends { refused: 1, ..Ends::default() }));
        let mut late = SHIPPED.to_vec();
        late.insert(5, "fulfilment.patience_lost");
        assert_eq!(verdict(&late), Ok(Ends { shipped: 1, shipped_late: 1, ..Ends::default() }));
    }

    #[test]
    fn nothing_may_be_missing_nor_happen_twice() {
        for story in [&SHIPPED, &TIMED_OUT] {
            for (place, name) in story.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
                let mut less = story.to_vec();
                less.remove(place);
                assert!(verdict(&less).is_err(), "without {name}");
                let mut more = story.to_vec();
                more.push(name);
                assert!(verdict(&more).is_err(), "{name} twice");
            }
        }
    }

    #[test]
    fn nothing_is_shipped_that_was_not_paid_for_before() {
        let mut early = SHIPPED.to_vec();
        early.swap(5, 9);

        assert!(verdict(&early).is_err());
    }

    #[test]
    fn a_deadline_comes_in_its_time_and_not_where_the_customer_was_heard_of() {
        let mut early = TIMED_OUT.to_vec();
        early.remove(1);
        early.insert(9, "fulfilment.begun");
        assert!(verdict(&early).is_err_and(|said| said.contains("the deadline was")));

        let mut after_payment = SHIPPED.to_vec();
        after_payment.insert(7, "fulfilment.patience_lost");
        assert!(verdict(&after_payment).is_err_and(|said| said.contains("heard of")));
    }

    #[test]
    fn of_each_item_there_is_what_was_neither_held_nor_taken() {
        let filled = || StockEvent::Filled(Filled { amount: 1 });
        let held = |order| StockEvent::Held(Held { order });
        let let_go = |order| StockEvent::LetGo(LetGo { order });
        let taken = |order| StockEvent::Taken(Taken { order });
        assert_eq!(judge_item(&[filled(), held(1), let_go(1), held(2), taken(2)]), Ok(()));
        for wrong in [
            vec![filled(), held(1)],
            vec![filled(), held(1), held(2), taken(1), taken(2)],
            vec![filled(), held(1), taken(1), held(2), taken(2)],
            vec![filled(), held(1), taken(1), let_go(1)],
            vec![filled(), held(1), let_go(1), let_go(1)],
            vec![filled(), held(1), taken(2)],
        ] {
            assert!(judge_item(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn every_order_is_there_and_no_other() {
        let mut story = Story::default();
        story.orders.insert(1, tale(&SHIPPED));
        assert!(judge(&story, 1).is_ok());
        assert!(judge(&story, 2).is_err());
        story.orders.insert(7, tale(&SHIPPED));
        assert!(judge(&story, 1).is_err());
    }
}
