//! Throwaway servers for the tests of factum.
//!
//! A test asks for a database and gets one, on any Linux machine that has the server's binaries, as root or not, without
//! Docker and without a word of configuration:
//!
//! ```
//! # use factum_testkit::Postgres;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let database = Postgres::shared()?.database().await?;
//! // Hand `database.url()` to whatever is tested, and keep `database` alive until the test ends.
//! # assert!(database.url().starts_with("postgres"));
//! # Ok(())
//! # }
//! ```
//!
//! What has to withstand a crash gets an [`OwnServer`], which it may kill; what has to withstand a network, a [`Proxy`] in
//! front of any of them; what has to work through a pool, a [`PgBouncer`].
//!
//! A missing server is an error that says what to install. It is never a reason to skip a test: a skipped test looks like
//! a passed one.

mod postgres;
mod proxy;
mod random;
mod url;

pub use postgres::{Database, Error, Options, OwnServer, PgBouncer, Postgres};
pub use proxy::{Counts, Proxy};
