//! factum, as `connect` makes it.

use std::convert::Infallible;

use async_trait::async_trait;
use factum::postgres::{PostgresStore, PostgresTx};
use factum::{
    Aggregate, Apply, Context, Envelope, Event, EventHandler, Events, Flush, Handle, On, OnFailure,
    Repository, Subscription,
};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedSender;
use uuid::Uuid;

use crate::contender::{Answer, Contender, Deposit, Follower, Handled, Heard};

/// factum on Postgres.
#[derive(Debug)]
pub(crate) struct Factum {
    store: PostgresStore,
    /// What another process would have: nothing in common with the other one but the database.
    afar: PostgresStore,
    accounts: Repository<Account>,
}

impl Factum {
    /// An empty store.
    pub(crate) async fn open(url: &str) -> Answer<Self> {
        let store = PostgresStore::connect(url).await?;
        store.migrate().await?;
        let keep = "CREATE TABLE totals (name text PRIMARY KEY, total bigint NOT NULL)";
        sqlx_limit::query(keep).execute(store.pool()).await?;
        let afar = PostgresStore::connect(url).await?;
        Ok(Self { accounts: Repository::new(store.clone()), store, afar })
    }
}

#[async_trait]
impl Contender for Factum {
    fn table(&self) -> Option<&'static str> {
        Some("factum_events")
    }

    async fn create(&self, account: Uuid, deposits: Vec<Deposit>) -> Answer<()> {
        self.accounts.execute(&account, Bring(deposits)).assume_new().await?;
        Ok(())
    }

    async fn deposit(&self, account: Uuid, deposits: Vec<Deposit>) -> Answer<()> {
        self.accounts.execute(&account, Bring(deposits)).await?;
        Ok(())
    }

    async fn rehydrate(&self, account: Uuid) -> Answer<u64> {
        Ok(self.accounts.load(&account).await?.deposits)
    }

    async fn catch_up(&self, handled: Handled) -> Answer<Option<()>> {
        let name = format!("nothing-{}", Uuid::new_v4());
        let subscription = Subscription::new(name, self.store.clone(), OnFailure::stop());
        subscription.handler(Nothing(handled)).catch_up().await?;
        Ok(Some(()))
    }

    async fn project(&self, handled: Handled) -> Answer<Option<()>> {
        let name = format!("total-{}", Uuid::new_v4());
        let subscription = Subscription::transactional(name.clone(), self.store.clone(), OnFailure::stop());
        subscription.handler(Total { name, handled }).catch_up().await?;
        Ok(Some(()))
    }

    async fn follow(&self, heard: UnboundedSender<Heard>) -> Answer<Option<Follower>> {
        Ok(Some(follow(&self.store, heard)))
    }

    async fn follow_from_afar(&self, heard: UnboundedSender<Heard>) -> Answer<Option<Follower>> {
        Ok(Some(follow(&self.afar, heard)))
    }
}

fn follow(store: &PostgresStore, heard: UnboundedSender<Heard>) -> Follower {
    let subscription = Subscription::new("follower", store.clone(), OnFailure::stop()).handler(Tell(heard));
    Follower::new(move |stopped| async move {
        subscription.run_until(stopped.map(|_| ())).await?;
        Ok(())
    })
}

#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "account.deposited")]
struct Deposited {
    amount: i64,
    reference: Uuid,
    memo: String,
}

#[derive(Event, Clone, Debug)]
enum AccountEvent {
    Deposited(Deposited),
}

#[derive(Aggregate, Default, Clone, Debug)]
#[aggregate(category = "account", id = Uuid, event = AccountEvent)]
struct Account {
    balance: i64,
    deposits: u64,
}

impl Apply<Deposited> for Account {
    fn apply(&mut self, event: Deposited) {
        self.balance += event.amount;
        self.deposits += 1;
    }
}

/// Bring money.
struct Bring(Vec<Deposit>);

impl Handle<Bring> for Account {
    type Error = Infallible;

    fn handle(&self, command: &Bring) -> Result<Events<AccountEvent>, Infallible> {
        let deposited = command.0.iter().cloned().map(|deposit| {
            let Deposit { amount, reference, memo } = deposit;
            Deposited { amount, reference, memo }
        });
        Ok(deposited.collect())
    }
}

/// Looks at each event.
#[derive(EventHandler)]
#[handler(name = "nothing", error = Infallible, on(Deposited))]
struct Nothing(Handled);

impl On<Deposited> for Nothing {
    async fn on(&self, event: &Envelope<Deposited>, _: &mut Context) -> Result<(), Infallible> {
        std::hint::black_box(event);
        self.0.one();
        Ok(())
    }
}

/// Keeps what has come in, in a row that is written once for each batch.
#[derive(EventHandler)]
#[handler(name = "total", error = sqlx_limit::Error, cx = PostgresTx, on(Deposited), flush)]
struct Total {
    name: String,
    handled: Handled,
}

impl On<Deposited, PostgresTx> for Total {
    async fn on(
        &self,
        event: &Envelope<Deposited>,
        cx: &mut Context<PostgresTx>,
    ) -> Result<(), sqlx_limit::Error> {
        let (total, events): &mut (i64, u64) = cx.batch();
        *total += event.event.amount;
        *events += 1;
        Ok(())
    }
}

impl Flush<PostgresTx> for Total {
    async fn flush(&self, cx: &mut Context<PostgresTx>) -> Result<(), sqlx_limit::Error> {
        const ADD: &str = "INSERT INTO totals AS kept VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET total = kept.total + excluded.total";
        let (total, events): (i64, u64) = cx.take_batch();
        sqlx_limit::query(ADD).bind(&self.name).bind(total).execute(&mut **cx.tx()).await?;
        self.handled.many(events);
        Ok(())
    }
}

/// Tells of each event that it is called with.
#[derive(EventHandler)]
#[handler(name = "tell", error = Infallible, on(Deposited))]
struct Tell(UnboundedSender<Heard>);

impl On<Deposited> for Tell {
    async fn on(&self, event: &Envelope<Deposited>, _: &mut Context) -> Result<(), Infallible> {
        let _ = self.0.send(Heard::now(event.event.reference));
        Ok(())
    }
}
