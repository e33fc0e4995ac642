//! The promises every store keeps, kept by the Postgres store.

use factum_conformance::{Fixture, Tx, conformance};
use factum_postgres::PostgresStore;
use factum_testkit::{Database, Postgres};

struct OnPostgres {
    store: PostgresStore,
    database: Database,
}

impl Fixture for OnPostgres {
    type Store = PostgresStore;

    async fn empty() -> Self {
        let server = Postgres::shared().unwrap_or_else(|error| panic!("{error}"));
        let database = server.database().await.unwrap_or_else(|error| panic!("{error}"));
        let store = PostgresStore::connect(database.url()).await.expect("connects");
        store.migrate().await.expect("migrates");
        sqlx::raw_sql("CREATE TABLE notes (note text NOT NULL)")
            .execute(store.pool())
            .await
            .expect("the table is new");
        Self { store, database }
    }

    fn store(&self) -> &PostgresStore {
        &self.store
    }

    async fn reopen(self) -> Self {
        let Self { store, database } = self;
        store.close().await;
        let store = PostgresStore::connect(database.url()).await.expect("connects again");
        Self { store, database }
    }

    async fn work(&self, tx: &mut Tx<Self>, note: &str) {
        sqlx::query("INSERT INTO notes VALUES ($1)").bind(note).execute(&mut **tx).await.expect("writes");
    }

    async fn work_done(&self) -> Vec<String> {
        sqlx::query_scalar("SELECT note FROM notes").fetch_all(self.store.pool()).await.expect("reads")
    }
}

conformance!(OnPostgres);

mod of_a_tenant {
    use factum_conformance::OfTenant;

    use super::*;

    conformance!(OfTenant<OnPostgres>);
}
