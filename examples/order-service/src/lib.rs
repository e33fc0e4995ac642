//! An order service on factum, to learn from.
//!
//! | file | what it is |
//! |---|---|
//! | [`domain`] | orders, customers and stock: events, state, decisions; pure |
//! | [`fulfilment`] | the process that has orders delivered, or cancelled and made good; pure |
//! | [`read`] | what is asked for: spend per customer, revenue per month; kept by subscriptions |
//! | [`mails`] | what customers are written; at least once |
//! | [`shop`] | the shop on a store: where these meet |
//! | [`serve`] | the shop as a service, over HTTP |
//! | [`cdnow`] | a real shop's purchases, line by line |
//! | [`import`] | purchases become commands |
//! | [`report`] | the read models, printed |
//! | [`history`] | the life of one order, printed |

pub mod cdnow;
pub mod domain;
#[cfg(test)]
mod frozen;
pub mod fulfilment;
pub mod history;
pub mod import;
pub mod mails;
pub mod read;
pub mod report;
pub mod serve;
pub mod shop;
pub mod text;
