//! eventcore, by its commands, its Postgres store and both of its ways to project.
//!
//! Its commands are repeated by itself when they meet a conflict. A handler that does nothing is its older projection, of which the
//! checkpoint is kept beside; a number in the database is its transactional one, which commits once for each event.

use std::convert::Infallible;

use async_trait::async_trait;
use eventcore::postgres::PostgresEventStore;
use eventcore::postgres::projections::{
    DeliveryPosition, DeliverySourceId, EventTypeName, NoopAfterCommit, Postgres, PostgresProjectionConfig,
    PostgresProjectionSource, PostgresProjectionStore, PostgresProjector, ProjectionSelection,
    ProjectionSelectionId, ProjectionStreamFilter, ProjectorName, Transaction, run_transactional_projection,
};
use eventcore::{
    Command, CommandError, CommandLogic, Event, NewEvents, ProjectionConfig, Projector, RetryPolicy,
    StreamId, StreamPosition, execute, run_projection,
};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use tokio::sync::mpsc::UnboundedSender;
use uuid::Uuid;

use super::unsent;
use crate::contender::{Answer, Contender, Deposit, Follower, Handled, Heard};

/// eventcore on Postgres.
pub(crate) struct Eventcore {
    store: PostgresEventStore,
    url: String,
}

impl Eventcore {
    /// An empty store.
    pub(crate) async fn open(url: &str) -> Answer<Self> {
        let store = PostgresEventStore::new(url).await?;
        store.migrate().await;
        Ok(Self { store, url: url.to_owned() })
    }
}

#[async_trait]
impl Contender for Eventcore {
    fn table(&self) -> Option<&'static str> {
        Some("eventcore_events")
    }

    async fn create(&self, account: Uuid, deposits: Vec<Deposit>) -> Answer<()> {
        let command = Bring { account: stream(account)?, deposits };
        execute(&self.store, command, RetryPolicy::new()).await?;
        Ok(())
    }

    async fn deposit(&self, account: Uuid, deposits: Vec<Deposit>) -> Answer<()> {
        self.create(account, deposits).await
    }

    /// A state that is not a command's is folded from the stream of events, which is its documented way to read one.
    async fn rehydrate(&self, account: Uuid) -> Answer<u64> {
        use eventcore_types::EventStore as _;
        let mut events = self.store.read_stream::<Deposited>(stream(account)?).await?;
        let mut state = Account::default();
        while let Some(event) = events.next().await {
            state = state.applied(&event?);
        }
        Ok(state.deposits)
    }

    async fn catch_up(&self, handled: Handled) -> Answer<Option<()>> {
        let each = move |event: &Deposited| {
            std::hint::black_box(event);
            handled.one();
        };
        let projector = Each { name: format!("nothing-{}", Uuid::new_v4()), each };
        run_projection(projector, &self.store, ProjectionConfig::default()).await?;
        Ok(Some(()))
    }

    async fn project(&self, handled: Handled) -> Answer<Option<()>> {
        let url = self.url.clone();
        unsent(move || project(url, handled)).await?;
        Ok(Some(()))
    }

    async fn follow(&self, heard: UnboundedSender<Heard>) -> Answer<Option<Follower>> {
        let store = self.store.clone();
        let each = move |event: &Deposited| {
            let _ = heard.send(Heard::now(event.reference));
        };
        Ok(Some(Follower::dropped(async move {
            let projector = Each { name: "follower".to_owned(), each };
            run_projection(projector, &store, ProjectionConfig::default().continuous()).await?;
            Ok(())
        })))
    }
}

/// A number in the database. rustc cannot see that the future of its runner can be sent, although it can.
async fn project(url: String, handled: Handled) -> Answer<()> {
    let pool = PgPool::connect(&url).await?;
    let source = PostgresProjectionSource::from_pool(pool.clone(), DeliverySourceId::try_new("accounts")?);
    source.migrate().await?;
    let store = PostgresProjectionStore::from_pool(pool.clone());
    store.migrate().await?;
    let table = "CREATE TABLE IF NOT EXISTS totals (name text PRIMARY KEY, total bigint NOT NULL)";
    sqlx::query(table).execute(&pool).await?;
    let selection = ProjectionSelection::try_new(
        ProjectionSelectionId::try_new("deposits")?,
        ProjectionStreamFilter::All,
        vec![EventTypeName::try_new(Deposited::event_type_name())?],
    )?;
    let total = Total { name: ProjectorName::try_new(format!("total-{}", Uuid::new_v4()))?, handled };
    run_transactional_projection(total, &source, &store, PostgresProjectionConfig::new(selection)).await?;
    Ok(())
}

fn stream(account: Uuid) -> Answer<StreamId> {
    Ok(StreamId::try_new(format!("account-{account}"))?)
}

/// Money came in.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub(crate) struct Deposited {
    account: StreamId,
    amount: i64,
    reference: Uuid,
    memo: String,
}

impl Event for Deposited {
    fn stream_id(&self) -> &StreamId {
        &self.account
    }

    fn event_type_name() -> &'static str {
        "Deposited"
    }
}

/// What the events of an account come to.
#[derive(Default)]
pub(crate) struct Account {
    balance: i64,
    deposits: u64,
}

impl Account {
    fn applied(self, event: &Deposited) -> Self {
        Self { balance: self.balance + event.amount, deposits: self.deposits + 1 }
    }
}

/// Bring money.
#[derive(Command)]
pub(crate) struct Bring {
    #[stream]
    account: StreamId,
    deposits: Vec<Deposit>,
}

impl CommandLogic for Bring {
    type Event = Deposited;
    type State = Account;

    fn apply(&self, state: Account, event: &Deposited) -> Account {
        state.applied(event)
    }

    fn handle(&self, _: Account) -> Result<NewEvents<Deposited>, CommandError> {
        let deposited = self.deposits.iter().cloned().map(|deposit| {
            let Deposit { amount, reference, memo } = deposit;
            Deposited { account: self.account.clone(), amount, reference, memo }
        });
        Ok(deposited.collect::<Vec<_>>().into())
    }
}

/// Does something with each event.
struct Each<F> {
    name: String,
    each: F,
}

impl<F: Fn(&Deposited) + Send + 'static> Projector for Each<F> {
    type Event = Deposited;
    type Error = Infallible;
    type Context = ();

    fn apply(&mut self, event: Deposited, _: StreamPosition, (): &mut ()) -> Result<(), Infallible> {
        (self.each)(&event);
        Ok(())
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// Keeps what has come in, in a row.
struct Total {
    name: ProjectorName,
    handled: Handled,
}

impl PostgresProjector for Total {
    type Event = Deposited;
    type Error = sqlx::Error;
    type AfterCommit = NoopAfterCommit;

    fn name(&self) -> &ProjectorName {
        &self.name
    }

    /// As its documentation writes it, and not as an `async fn`, of which rustc cannot see that it can be sent.
    #[expect(clippy::manual_async_fn, reason = "see above")]
    fn apply<'a, 'c>(
        &'a mut self,
        event: &'a Deposited,
        _: DeliveryPosition,
        tx: &'a mut Transaction<'c, Postgres>,
    ) -> impl Future<Output = Result<NoopAfterCommit, sqlx::Error>> + Send + 'a
    where
        'c: 'a,
    {
        async move {
            const ADD: &str = "INSERT INTO totals AS kept VALUES ($1, $2)
                 ON CONFLICT (name) DO UPDATE SET total = kept.total + excluded.total";
            sqlx::query(ADD).bind(self.name.to_string()).bind(event.amount).execute(&mut **tx).await?;
            self.handled.one();
            Ok(NoopAfterCommit)
        }
    }
}
