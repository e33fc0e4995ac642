//! The smallest user of disintegrate.

use std::convert::Infallible;

use disintegrate::serde::json::Json;
use disintegrate::{Decision, Event, NoSnapshot, StateMutate, StateQuery};
use disintegrate_postgres::{PgEventStore, decision_maker};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use uuid::Uuid;

#[derive(Event, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
enum AccountEvent {
    // for each event {
    Deposited {
        #[id]
        account: Uuid,
        amount: i64,
        reference: Uuid,
        memo: String,
    },
    // }
}

#[derive(StateQuery, Serialize, Deserialize, Default, Clone)]
#[state_query(AccountEvent)]
struct Account {
    #[id]
    account: Uuid,
    balance: i64,
}

impl StateMutate for Account {
    fn mutate(&mut self, event: AccountEvent) {
        match event {
            // for each event {
            AccountEvent::Deposited { amount, .. } => self.balance += amount,
            // }
        }
    }
}

struct Bring {
    account: Uuid,
    amount: i64,
}

impl Decision for Bring {
    type Event = AccountEvent;
    type StateQuery = Account;
    type Error = Infallible;

    fn state_query(&self) -> Account {
        Account { account: self.account, ..Account::default() }
    }

    fn process(&self, _: &Account) -> Result<Vec<AccountEvent>, Infallible> {
        let (account, amount) = (self.account, self.amount);
        let (reference, memo) = (Uuid::new_v4(), "memo".to_owned());
        Ok(vec![AccountEvent::Deposited { account, amount, reference, memo }])
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = PgPool::connect(&std::env::var("POSTGRES")?).await?;
    let store = PgEventStore::try_new(pool, Json::<AccountEvent>::default()).await?;
    let decisions = decision_maker(store, NoSnapshot);
    decisions.make(Bring { account: Uuid::new_v4(), amount: 1 }).await?;
    Ok(())
}
