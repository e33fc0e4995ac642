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
//! A missing server is an error that says what to install. It is never a reason to skip a test: a skipped test looks like
//! a passed one.

mod postgres;

pub use postgres::{Database, Error, Options, Postgres};
