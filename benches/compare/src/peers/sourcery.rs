//! sourcery, by its repository and its Postgres store.
//!
//! On Postgres it has no subscription. What W4 asks of it is a projection that is loaded, which reads all events into memory.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sourcery::store::postgres::Store;
use sourcery::{Apply, ApplyProjection, DomainEvent, Handle, Repository};
use sqlx::PgPool;
use uuid::Uuid;

use super::unsent;
use crate::contender::{Answer, Contender, Deposit, Handled};

/// sourcery on Postgres.
pub(crate) struct Sourcery {
    repository: Arc<Repository<Store<()>>>,
}

impl Sourcery {
    /// An empty store.
    pub(crate) async fn open(url: &str) -> Answer<Self> {
        let store = Store::new(PgPool::connect(url).await?);
        store.migrate().await?;
        Ok(Self { repository: Arc::new(Repository::new(store)) })
    }
}

#[async_trait]
impl Contender for Sourcery {
    fn table(&self) -> Option<&'static str> {
        Some("es_events")
    }

    async fn create(&self, account: Uuid, deposits: Vec<Deposit>) -> Answer<()> {
        let repository = Arc::clone(&self.repository);
        // rustc cannot see that the future can be sent, although it can.
        unsent(move || async move {
            repository.execute_command::<Account, Bring>(&account, &Bring(deposits), &()).await?;
            Ok(())
        })
        .await
    }

    async fn deposit(&self, account: Uuid, deposits: Vec<Deposit>) -> Answer<()> {
        self.create(account, deposits).await
    }

    async fn rehydrate(&self, account: Uuid) -> Answer<u64> {
        Ok(self.repository.load::<Account>(&account).await?.deposits)
    }

    async fn catch_up(&self, handled: Handled) -> Answer<Option<()>> {
        let counted = self.repository.load_projection::<Counted>(&()).await?;
        handled.many(counted.events);
        Ok(Some(()))
    }
}

/// Money came in.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub(crate) struct Deposited {
    amount: i64,
    reference: Uuid,
    memo: String,
}

impl DomainEvent for Deposited {
    const KIND: &'static str = "account.deposited";
}

/// An account, as its aggregate.
#[derive(Default, Serialize, Deserialize, sourcery::Aggregate)]
#[aggregate(id = Uuid, error = String, events(Deposited))]
pub(crate) struct Account {
    balance: i64,
    deposits: u64,
}

impl Apply<Deposited> for Account {
    fn apply(&mut self, event: &Deposited) {
        self.balance += event.amount;
        self.deposits += 1;
    }
}

/// Bring money.
pub(crate) struct Bring(Vec<Deposit>);

impl Handle<Bring> for Account {
    fn handle(&self, command: &Bring) -> Result<Vec<Self::Event>, Self::Error> {
        let deposited = command.0.iter().cloned().map(|deposit| {
            let Deposit { amount, reference, memo } = deposit;
            Deposited { amount, reference, memo }.into()
        });
        Ok(deposited.collect())
    }
}

/// Counts all events.
#[derive(Debug, Default, sourcery::Projection)]
#[projection(id = Uuid, events(Deposited))]
pub(crate) struct Counted {
    events: u64,
}

impl ApplyProjection<Deposited> for Counted {
    fn apply_projection(&mut self, _: &Self::Id, event: &Deposited, (): &Self::Metadata) {
        std::hint::black_box(event);
        self.events += 1;
    }
}
