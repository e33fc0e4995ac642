//! evento, by its builders, its projections and its subscriptions, with its margin of a second.
//!
//! Its payloads are bitcode, which is shorter than JSON. A subscription keeps a checkpoint always, and its handlers have no part in
//! that transaction: so W4 has one row of it.

#![expect(clippy::unused_async, reason = "its macros want async functions")]

use async_trait::async_trait;
use evento::metadata::Event;
use evento::migrator::{Migrate, Plan};
use evento::projection::Projection;
use evento::subscription::{Context, SubscriptionBuilder};
use evento::{Executor, Postgres, ProjectionAggregate};
use sqlx_limit::PgPool;
use tokio::sync::mpsc::UnboundedSender;
use uuid::Uuid;

use crate::contender::{Answer, Contender, Deposit, Follower, Handled, Heard};

/// evento on Postgres.
pub(crate) struct Evento {
    executor: Postgres,
}

impl Evento {
    /// An empty store.
    pub(crate) async fn open(url: &str) -> Answer<Self> {
        let pool = PgPool::connect(url).await?;
        let migrator = evento::sql_migrator::new::<sqlx_limit::Postgres>()?;
        migrator.run(&mut *pool.acquire().await?, &Plan::apply_all()).await?;
        Ok(Self { executor: pool.into() })
    }

    async fn load(&self, account: Uuid) -> Answer<AccountView> {
        let projection = Projection::<_, AccountView>::new::<Account>().handler(on_deposited());
        let view = projection.load(account.to_string()).execute(&self.executor).await?;
        Ok(view.ok_or("there is no such account")?)
    }
}

#[async_trait]
impl Contender for Evento {
    fn table(&self) -> Option<&'static str> {
        Some("event")
    }

    async fn create(&self, account: Uuid, deposits: Vec<Deposit>) -> Answer<()> {
        let mut builder = evento::append(account.to_string());
        builder.original_version(0);
        for deposit in deposits {
            builder.event(&Deposited::from(deposit));
        }
        builder.commit(&self.executor).await?;
        Ok(())
    }

    async fn deposit(&self, account: Uuid, deposits: Vec<Deposit>) -> Answer<()> {
        let view = self.load(account).await?;
        let mut builder = view.write()?;
        for deposit in deposits {
            builder.event(&Deposited::from(deposit));
        }
        builder.commit(&self.executor).await?;
        Ok(())
    }

    async fn rehydrate(&self, account: Uuid) -> Answer<u64> {
        Ok(self.load(account).await?.deposits)
    }

    async fn catch_up(&self, handled: Handled) -> Answer<Option<()>> {
        let name = format!("nothing-{}", Uuid::new_v4());
        let subscription = SubscriptionBuilder::new(name).data(handled).handler(nothing());
        subscription.no_retry().run_once(&self.executor).await?;
        Ok(Some(()))
    }

    async fn follow(&self, heard: UnboundedSender<Heard>) -> Answer<Option<Follower>> {
        let subscription = SubscriptionBuilder::new("follower").data(heard).handler(tell());
        let subscription = subscription.start(&self.executor).await?;
        Ok(Some(Follower::new(move |stopped| async move {
            let _ = stopped.await;
            Ok(subscription.shutdown().await?)
        })))
    }
}

#[evento::aggregate(name = "account")]
pub(crate) enum Account {
    #[evento(name = "Deposited")]
    Deposited { amount: i64, reference: String, memo: String },
}

impl From<Deposit> for Deposited {
    fn from(Deposit { amount, reference, memo }: Deposit) -> Self {
        Self { amount, reference: reference.to_string(), memo }
    }
}

/// What the events of an account come to, without snapshots.
#[evento::projection(id = id)]
#[evento::snapshot(none)]
pub(crate) struct AccountView {
    pub(crate) id: String,
    pub(crate) balance: i64,
    pub(crate) deposits: u64,
}

#[evento::handler]
async fn on_deposited(event: Event<Deposited>, view: &mut AccountView) -> anyhow::Result<()> {
    view.id.clone_from(&event.aggregate_id);
    view.balance += event.data.amount;
    view.deposits += 1;
    Ok(())
}

/// Looks at each event.
#[evento::subscription]
async fn nothing<E: Executor>(ctx: &Context<'_, E>, event: Event<Deposited>) -> anyhow::Result<()> {
    std::hint::black_box(&event);
    ctx.extract::<Handled>().one();
    Ok(())
}

/// Tells of each event that it is called with.
#[evento::subscription]
async fn tell<E: Executor>(ctx: &Context<'_, E>, event: Event<Deposited>) -> anyhow::Result<()> {
    let heard: UnboundedSender<Heard> = ctx.extract();
    let _ = heard.send(Heard::now(event.data.reference.parse()?));
    Ok(())
}
