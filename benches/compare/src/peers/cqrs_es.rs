//! cqrs-es with postgres-es, by its own framework, pool and table.
//!
//! It has no order over all events and no subscription: its queries are called by the command, after the commit. What W4 asks of
//! it is the replay of all events, which come by the number in their aggregate.

use std::convert::Infallible;

use async_trait::async_trait;
use cqrs_es::event_sink::EventSink;
use cqrs_es::persist::{PersistedEventStore, QueryReplay};
use cqrs_es::{Aggregate, AggregateContext, DomainEvent, EventEnvelope, EventStore, Query};
use postgres_es::{PostgresCqrs, PostgresEventRepository, default_postgress_pool, postgres_cqrs};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use uuid::Uuid;

use crate::contender::{Answer, Contender, Deposit, Handled};

/// The table that its documentation asks for.
const TABLES: &str = "CREATE TABLE events (aggregate_type text NOT NULL, aggregate_id text NOT NULL,
     sequence bigint CHECK (sequence >= 0) NOT NULL, event_type text NOT NULL, event_version text NOT NULL,
     payload json NOT NULL, metadata json NOT NULL, PRIMARY KEY (aggregate_type, aggregate_id, sequence))";

/// cqrs-es on Postgres.
pub(crate) struct CqrsEs {
    pool: PgPool,
    framework: PostgresCqrs<Account>,
    store: PersistedEventStore<PostgresEventRepository, Account>,
}

impl CqrsEs {
    /// An empty store.
    pub(crate) async fn open(url: &str) -> Answer<Self> {
        let pool = default_postgress_pool(url).await;
        sqlx::raw_sql(TABLES).execute(&pool).await?;
        let framework = postgres_cqrs(pool.clone(), Vec::new(), ());
        let store = PersistedEventStore::new_event_store(PostgresEventRepository::new(pool.clone()));
        Ok(Self { pool, framework, store })
    }
}

#[async_trait]
impl Contender for CqrsEs {
    fn table(&self) -> Option<&'static str> {
        Some("events")
    }

    async fn create(&self, account: Uuid, deposits: Vec<Deposit>) -> Answer<()> {
        self.framework.execute(&account.to_string(), Bring(deposits)).await?;
        Ok(())
    }

    async fn deposit(&self, account: Uuid, deposits: Vec<Deposit>) -> Answer<()> {
        self.create(account, deposits).await
    }

    async fn rehydrate(&self, account: Uuid) -> Answer<u64> {
        let mut context = self.store.load_aggregate(&account.to_string()).await?;
        Ok(context.aggregate().deposits)
    }

    async fn catch_up(&self, handled: Handled) -> Answer<Option<()>> {
        let repository = PostgresEventRepository::new(self.pool.clone());
        QueryReplay::new(repository, Nothing(handled)).replay_all().await?;
        Ok(Some(()))
    }
}

#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(crate) enum AccountEvent {
    Deposited { amount: i64, reference: Uuid, memo: String },
}

impl DomainEvent for AccountEvent {
    fn event_type(&self) -> String {
        "Deposited".to_owned()
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

/// An account, as its aggregate.
#[derive(Serialize, Deserialize, Default)]
pub(crate) struct Account {
    balance: i64,
    deposits: u64,
}

/// Bring money.
pub(crate) struct Bring(Vec<Deposit>);

impl Aggregate for Account {
    const TYPE: &'static str = "account";
    type Command = Bring;
    type Event = AccountEvent;
    type Error = Infallible;
    type Services = ();

    async fn handle(&mut self, command: Bring, (): &(), sink: &EventSink<Self>) -> Result<(), Infallible> {
        for Deposit { amount, reference, memo } in command.0 {
            sink.write(AccountEvent::Deposited { amount, reference, memo }, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: AccountEvent) {
        let AccountEvent::Deposited { amount, .. } = event;
        self.balance += amount;
        self.deposits += 1;
    }
}

/// Looks at each event.
struct Nothing(Handled);

#[async_trait]
impl Query<Account> for Nothing {
    async fn dispatch(&self, _: &str, events: &[EventEnvelope<Account>]) {
        for event in events {
            std::hint::black_box(event);
            self.0.one();
        }
    }
}
