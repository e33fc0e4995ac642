//! esrs, by its manager and its Postgres store, whose migration makes the table.
//!
//! It has no order over all events and no subscription: handlers are called by the command, after the commit. What W4 asks of it
//! is its rebuilder, which reads all events into memory and then hands them out.

use std::convert::Infallible;

use async_trait::async_trait;
use esrs::handler::{EventHandler, ReplayableEventHandler};
use esrs::manager::AggregateManager;
use esrs::rebuilder::{PgRebuilder, Rebuilder};
use esrs::store::StoreEvent;
use esrs::store::postgres::{PgStore, PgStoreBuilder};
use esrs::{Aggregate, AggregateState};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use uuid::Uuid;

use crate::contender::{Answer, Contender, Deposit, Handled};

/// esrs on Postgres.
pub(crate) struct Esrs {
    pool: PgPool,
    manager: AggregateManager<PgStore<Account>>,
}

impl Esrs {
    /// An empty store.
    pub(crate) async fn open(url: &str) -> Answer<Self> {
        let pool = PgPool::connect(url).await?;
        let store = PgStoreBuilder::<Account>::new(pool.clone()).try_build().await?;
        Ok(Self { pool, manager: AggregateManager::new(store) })
    }

    async fn handle(&self, state: AggregateState<State>, deposits: Vec<Deposit>) -> Answer<()> {
        self.manager.handle_command(state, Bring(deposits)).await??;
        Ok(())
    }
}

#[async_trait]
impl Contender for Esrs {
    fn table(&self) -> Option<&'static str> {
        Some("account_events")
    }

    async fn create(&self, account: Uuid, deposits: Vec<Deposit>) -> Answer<()> {
        self.handle(AggregateState::with_id(account), deposits).await
    }

    /// Without its lock: a command that was overtaken is refused by the table's key, as everywhere else.
    async fn deposit(&self, account: Uuid, deposits: Vec<Deposit>) -> Answer<()> {
        let state = self.manager.load(account).await?.ok_or("there is no such account")?;
        self.handle(state, deposits).await
    }

    async fn rehydrate(&self, account: Uuid) -> Answer<u64> {
        let state = self.manager.load(account).await?.ok_or("there is no such account")?;
        Ok(state.inner().deposits)
    }

    async fn catch_up(&self, handled: Handled) -> Answer<Option<()>> {
        let rebuilder = PgRebuilder::<Account>::new().with_event_handlers(vec![Box::new(Nothing(handled))]);
        rebuilder.all_at_once(self.pool.clone()).await?;
        Ok(Some(()))
    }
}

#[derive(Serialize, Deserialize, Clone, Debug)]
pub(crate) enum AccountEvent {
    Deposited { amount: i64, reference: Uuid, memo: String },
}

/// An account, as its aggregate.
pub(crate) struct Account;

/// What the events of an account come to.
#[derive(Default)]
pub(crate) struct State {
    balance: i64,
    deposits: u64,
}

/// Bring money.
pub(crate) struct Bring(Vec<Deposit>);

impl Aggregate for Account {
    const NAME: &'static str = "account";
    type State = State;
    type Command = Bring;
    type Event = AccountEvent;
    type Error = Infallible;

    fn handle_command(_: &State, command: Bring) -> Result<Vec<AccountEvent>, Infallible> {
        let deposited =
            |Deposit { amount, reference, memo }| AccountEvent::Deposited { amount, reference, memo };
        Ok(command.0.into_iter().map(deposited).collect())
    }

    fn apply_event(state: State, event: AccountEvent) -> State {
        let AccountEvent::Deposited { amount, .. } = event;
        State { balance: state.balance + amount, deposits: state.deposits + 1 }
    }
}

/// Looks at each event.
struct Nothing(Handled);

#[async_trait]
impl EventHandler<Account> for Nothing {
    async fn handle(&self, event: &StoreEvent<AccountEvent>) {
        std::hint::black_box(event);
        self.0.one();
    }
}

impl ReplayableEventHandler<Account> for Nothing {}
