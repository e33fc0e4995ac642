//! es-entity, by the repository that its macros write.
//!
//! It has no log over all entities and no subscription: an outbox is another crate. Its queries were checked against its two tables
//! when the folder `.sqlx` was made, so that the program compiles without a database.

use async_trait::async_trait;
use es_entity::{
    EntityEvents, EntityEventsBuilder, EntityHydrationError, EsEntity, EsEvent, EsRepo, FromCaller,
    Idempotent, IntoEvents, TryFromEvents, errlanes,
};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use uuid::Uuid;

use crate::contender::{Answer, Contender, Deposit};

const TABLES: &str = include_str!("../../migrations/20260101000000_es_entity.sql");

/// es-entity on Postgres.
pub(crate) struct EsEntities {
    accounts: Accounts,
}

impl EsEntities {
    /// An empty store.
    pub(crate) async fn open(url: &str) -> Answer<Self> {
        let pool = PgPool::connect(url).await?;
        sqlx::raw_sql(TABLES).execute(&pool).await?;
        Ok(Self { accounts: Accounts { pool } })
    }
}

#[async_trait]
impl Contender for EsEntities {
    fn table(&self) -> Option<&'static str> {
        Some("account_events")
    }

    async fn create(&self, account: Uuid, deposits: Vec<Deposit>) -> Answer<()> {
        self.accounts.create(NewAccount { id: account.into(), deposits }).await?;
        Ok(())
    }

    async fn deposit(&self, account: Uuid, deposits: Vec<Deposit>) -> Answer<()> {
        let mut account = self.accounts.find_by_id(AccountId::from(account)).await?;
        if account.deposit(deposits).did_execute() {
            self.accounts.update(&mut account).await?;
        }
        Ok(())
    }

    async fn rehydrate(&self, account: Uuid) -> Answer<u64> {
        Ok(self.accounts.find_by_id(AccountId::from(account)).await?.deposits)
    }
}

es_entity::entity_id! { AccountId }

#[derive(EsEvent, Serialize, Deserialize, Debug)]
#[serde(tag = "type", rename_all = "snake_case")]
#[es_event(id = "AccountId")]
pub(crate) enum AccountEvent {
    Deposited { amount: i64, reference: Uuid, memo: String },
}

impl From<Deposit> for AccountEvent {
    fn from(Deposit { amount, reference, memo }: Deposit) -> Self {
        Self::Deposited { amount, reference, memo }
    }
}

/// An account, as its entity.
#[derive(EsEntity)]
pub(crate) struct Account {
    pub(crate) id: AccountId,
    pub(crate) balance: i64,
    pub(crate) deposits: u64,
    events: EntityEvents<AccountEvent>,
}

impl Account {
    fn deposit(&mut self, deposits: Vec<Deposit>) -> Idempotent<()> {
        for deposit in deposits {
            self.balance += deposit.amount;
            self.deposits += 1;
            self.events.push(deposit.into());
        }
        Idempotent::Executed(())
    }
}

impl TryFromEvents<AccountEvent> for Account {
    fn try_from_events(events: EntityEvents<AccountEvent>) -> Result<Self, EntityHydrationError> {
        let (mut balance, mut deposits) = (0, 0);
        for event in events.iter_all() {
            let AccountEvent::Deposited { amount, .. } = event;
            balance += amount;
            deposits += 1;
        }
        let mut hydrator = Self::hydrator();
        hydrator.id(*events.id()).balance(balance).deposits(deposits);
        hydrator.build(events)
    }
}

/// An account before it is written.
pub(crate) struct NewAccount {
    pub(crate) id: AccountId,
    deposits: Vec<Deposit>,
}

impl IntoEvents<AccountEvent> for NewAccount {
    type IdSource = FromCaller;

    fn into_events(
        self,
        builder: EntityEventsBuilder<AccountEvent, FromCaller>,
    ) -> EntityEvents<AccountEvent> {
        builder.initial_events(self.id, self.deposits.into_iter().map(AccountEvent::from))
    }
}

#[derive(EsRepo, Debug)]
#[es_repo(entity = "Account", id(source = caller))]
pub(crate) struct Accounts {
    pool: PgPool,
}
