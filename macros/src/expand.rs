//! Tokens out: from checked input to the code we would have written by hand. `snapshots/` shows what it looks like.

pub(crate) mod aggregate;
pub(crate) mod event;
pub(crate) mod handler;
pub(crate) mod process;
pub(crate) mod view;
