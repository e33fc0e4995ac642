//! Who takes part, and how each begins with an empty database.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use factum_testkit::Database;
use futures_util::future::BoxFuture;

use crate::contender::{Answer, Contender};
use crate::options::Options;
use crate::peers::{
    cqrs_es, disintegrate, es_entity, esrs, eventcore, evento, factum, pgbench, raw_sqlx, raw_tokio_postgres,
    sourcery,
};
use crate::report::Report;
use crate::server::Server;

/// A contender, its database, and how far it has come in what is shared by all workloads.
pub(crate) struct Opened {
    /// By which it is asked for.
    pub(crate) name: &'static str,
    /// Itself.
    pub(crate) contender: Arc<dyn Contender>,
    /// The account of ten events that is next.
    pub(crate) next_account: AtomicUsize,
    /// Deleted when this is dropped.
    pub(crate) database: Database,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A contender that could be opened.
pub(crate) struct Entry {
    /// By which it is asked for.
    pub(crate) name: &'static str,
    /// The packages whose versions the report names.
    pub(crate) packages: &'static [&'static str],
    open: Open,
}

/// Makes the contender's tables in the database at a URL.
type Open = fn(String) -> BoxFuture<'static, Answer<Arc<dyn Contender>>>;

macro_rules! entry {
    ($name:literal, $packages:expr, $contender:path) => {
        Entry {
            name: $name,
            packages: $packages,
            open: |url| {
                Box::pin(async move {
                    let contender: Arc<dyn Contender> = Arc::new(<$contender>::open(&url).await?);
                    Ok(contender)
                })
            },
        }
    };
}

/// All, in the order of the tables.
pub(crate) const ALL: &[Entry] = &[
    entry!("raw-sqlx", &["sqlx"], raw_sqlx::RawSqlx),
    entry!("raw-tokio-postgres", &["tokio-postgres"], raw_tokio_postgres::RawTokioPostgres),
    entry!("raw-pgbench", &[], pgbench::Pgbench),
    entry!("factum", &["factum"], factum::Factum),
    entry!("cqrs-es", &["cqrs-es", "postgres-es"], cqrs_es::CqrsEs),
    entry!("disintegrate", &["disintegrate", "disintegrate-postgres"], disintegrate::Disintegrate),
    entry!("es-entity", &["es-entity"], es_entity::EsEntities),
    entry!("esrs", &["esrs"], esrs::Esrs),
    entry!("eventcore", &["eventcore", "eventcore-postgres"], eventcore::Eventcore),
    entry!("evento", &["evento", "evento-sql"], evento::Evento),
    entry!("sourcery", &["sourcery", "sourcery-postgres"], sourcery::Sourcery),
    #[cfg(feature = "umadb")]
    entry!("umadb", &["umadb-server", "umadb-client"], crate::peers::umadb::UmaDb),
];

/// Opens those that take part, each in a new database. Whoever cannot be opened is named in the report and left out.
pub(crate) async fn open_all(
    options: &Options,
    server: &Server,
    report: &mut Report,
) -> Answer<Vec<Arc<Opened>>> {
    let mut opened = Vec::new();
    for entry in ALL.iter().filter(|entry| options.asks_for_contender(entry.name)) {
        let database = server.database().await?;
        match (entry.open)(database.url().to_owned()).await {
            Ok(contender) => opened.push(Arc::new(Opened {
                name: entry.name,
                contender,
                next_account: AtomicUsize::new(0),
                database,
            })),
            Err(failure) if entry.name == crate::FACTUM => return Err(failure),
            Err(failure) => report.left_out(entry.name, &failure.to_string()),
        }
    }
    if opened.is_empty() { Err("no contender has such a name".into()) } else { Ok(opened) }
}
