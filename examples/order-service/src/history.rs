//! The life of one order: its events, and the state after each.

use std::fmt::Write;

use factum::{LoadError, Repository, Version};

use crate::domain::{Order, OrderId};

/// How many events are printed at once.
const PAGE: usize = 100;

/// Prints what has happened to the order `id`, page by page.
///
/// # Errors
///
/// [`LoadError`], if there is no such order or it cannot be read.
pub async fn history(
    orders: &Repository<Order>,
    id: &OrderId,
    mut print: impl FnMut(&str),
) -> Result<(), LoadError> {
    let mut order = orders.load_at(id, Version(1)).await?;
    print(&format!("{}\n", Repository::<Order>::stream(id)?));
    let mut after = Version::NONE;
    loop {
        let events = orders.events(id, after, PAGE).await?;
        for envelope in &events {
            after = envelope.version;
            if order.version() < after {
                order = orders.load_at(id, after).await?;
            }
            let mut text = String::new();
            let date = envelope.occurred_at().format("%Y-%m-%d");
            let written = writeln!(text, "\n{after:>3}  {date}  {:?}", envelope.event)
                .and_then(|()| writeln!(text, "     then  {:?}", order.state()));
            written.expect("a string takes everything");
            print(&text);
        }
        if events.len() < PAGE {
            return Ok(());
        }
    }
}
