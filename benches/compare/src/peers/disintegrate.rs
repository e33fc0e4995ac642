//! disintegrate, by its decisions and its listener, which is told by `NOTIFY`.
//!
//! Its migration needs Postgres 16: on an older server it cannot be opened, and the report says so.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use disintegrate::serde::json::Json;
use disintegrate::{
    Decision, Event, EventListener, LoadState, LoadedState, NoSnapshot, PersistedEvent, StateMutate,
    StateQuery, StreamQuery, query,
};
use disintegrate_postgres::{
    PgDecisionMaker, PgEventId, PgEventListener, PgEventListenerConfig, PgEventStore, decision_maker,
};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use uuid::Uuid;

use crate::contender::{Answer, Contender, Deposit, Follower, Handled, Heard};

type Store = PgEventStore<AccountEvent, Json<AccountEvent>>;

/// disintegrate on Postgres.
pub(crate) struct Disintegrate {
    pool: PgPool,
    store: Store,
    decisions: PgDecisionMaker<AccountEvent, Json<AccountEvent>, NoSnapshot>,
}

impl Disintegrate {
    /// An empty store.
    pub(crate) async fn open(url: &str) -> Answer<Self> {
        let pool = PgPool::connect(url).await?;
        let store = PgEventStore::try_new(pool.clone(), Json::default()).await?;
        let decisions = decision_maker(store.clone(), NoSnapshot);
        Ok(Self { pool, store, decisions })
    }
}

#[async_trait]
impl Contender for Disintegrate {
    fn table(&self) -> Option<&'static str> {
        Some("event")
    }

    async fn create(&self, account: Uuid, deposits: Vec<Deposit>) -> Answer<()> {
        self.decisions.make(Bring { account, deposits }).await?;
        Ok(())
    }

    async fn deposit(&self, account: Uuid, deposits: Vec<Deposit>) -> Answer<()> {
        self.create(account, deposits).await
    }

    /// A state that is not a decision's is loaded by the store of states below.
    async fn rehydrate(&self, account: Uuid) -> Answer<u64> {
        let states = disintegrate::EventSourcedStateStore::new(self.store.clone(), NoSnapshot);
        let loaded: LoadedState<PgEventId, Account> =
            states.load(Account { account, ..Account::default() }).await?;
        Ok(loaded.state().deposits)
    }

    /// Its listener runs until it is told to stop, which its handler does with the last event that was there before.
    async fn catch_up(&self, handled: Handled) -> Answer<Option<()>> {
        let events: i64 = sqlx::query_scalar("SELECT count(*) FROM event").fetch_one(&self.pool).await?;
        let done = Arc::new(Notify::new());
        let (all, stop) = (u64::try_from(events)?, Arc::clone(&done));
        let each = move |event: &AccountEvent| {
            std::hint::black_box(event);
            handled.one();
            if handled.events() == all {
                stop.notify_one();
            }
        };
        // It wants a name that lives as long as the program, and some bytes for each turn can be spared.
        let listener = Each::new(format!("nothing-{}", Uuid::new_v4()).leak(), each);
        let listening = PgEventListener::builder(self.store.clone())
            .register_listener(listener, PgEventListenerConfig::poller(Duration::from_mins(1)));
        listening.start_with_shutdown(async move { done.notified().await }).await?;
        Ok(Some(()))
    }

    async fn follow(&self, heard: UnboundedSender<Heard>) -> Answer<Option<Follower>> {
        let each = move |event: &AccountEvent| {
            let AccountEvent::Deposited { reference, .. } = event;
            let _ = heard.send(Heard::now(*reference));
        };
        let listener = PgEventListener::builder(self.store.clone()).register_listener(
            Each::new("follower", each),
            PgEventListenerConfig::poller(Duration::from_secs(5)).with_notifier(),
        );
        Ok(Some(Follower::new(move |stopped| async move {
            let stopped = async move { drop(stopped.await) };
            Ok(listener.start_with_shutdown(stopped).await?)
        })))
    }
}

/// What happens to accounts.
#[derive(Event, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub(crate) enum AccountEvent {
    Deposited {
        #[id]
        account: Uuid,
        amount: i64,
        reference: Uuid,
        memo: String,
    },
}

/// What the events of an account come to.
#[derive(StateQuery, Serialize, Deserialize, Default, Clone)]
#[state_query(AccountEvent)]
#[allow(clippy::struct_field_names, reason = "the id is found by the name that the event has for it")]
pub(crate) struct Account {
    #[id]
    account: Uuid,
    balance: i64,
    deposits: u64,
}

impl StateMutate for Account {
    fn mutate(&mut self, event: AccountEvent) {
        let AccountEvent::Deposited { amount, .. } = event;
        self.balance += amount;
        self.deposits += 1;
    }
}

/// Bring money.
pub(crate) struct Bring {
    account: Uuid,
    deposits: Vec<Deposit>,
}

impl Decision for Bring {
    type Event = AccountEvent;
    type StateQuery = Account;
    type Error = Infallible;

    fn state_query(&self) -> Account {
        Account { account: self.account, ..Account::default() }
    }

    fn process(&self, _: &Account) -> Result<Vec<AccountEvent>, Infallible> {
        let deposited = self.deposits.iter().cloned().map(|deposit| {
            let Deposit { amount, reference, memo } = deposit;
            AccountEvent::Deposited { account: self.account, amount, reference, memo }
        });
        Ok(deposited.collect())
    }
}

/// Does something with each event.
struct Each<F> {
    name: &'static str,
    query: StreamQuery<PgEventId, AccountEvent>,
    call: F,
}

impl<F: Fn(&AccountEvent)> Each<F> {
    fn new(name: &'static str, call: F) -> Self {
        Self { name, query: query!(AccountEvent), call }
    }
}

#[async_trait]
impl<F: Fn(&AccountEvent) + Send + Sync> EventListener<PgEventId, AccountEvent> for Each<F> {
    type Error = Infallible;

    fn id(&self) -> &'static str {
        self.name
    }

    fn query(&self) -> &StreamQuery<PgEventId, AccountEvent> {
        &self.query
    }

    async fn handle(&self, event: PersistedEvent<PgEventId, AccountEvent>) -> Result<(), Infallible> {
        (self.call)(&event);
        Ok(())
    }
}
