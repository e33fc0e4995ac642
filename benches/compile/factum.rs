//! factum's smallest user.

use std::convert::Infallible;

use factum::{Aggregate, Apply, Event, Events, Handle, Repository};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

// for each event {
#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "account.deposited")]
struct Deposited {
    amount: i64,
    reference: Uuid,
    memo: String,
}

impl Apply<Deposited> for Account {
    fn apply(&mut self, event: Deposited) {
        self.balance += event.amount;
    }
}
// }

#[derive(Event, Clone, Debug)]
enum AccountEvent {
    // for each event {
    Deposited(Deposited),
    // }
}

#[derive(Aggregate, Default, Clone, Debug)]
#[aggregate(category = "account", id = Uuid, event = AccountEvent)]
struct Account {
    balance: i64,
}

struct Bring(i64);

impl Handle<Bring> for Account {
    type Error = Infallible;

    fn handle(&self, command: &Bring) -> Result<Events<AccountEvent>, Infallible> {
        let deposited = Deposited { amount: command.0, reference: Uuid::new_v4(), memo: "memo".to_owned() };
        Ok(Events::one(deposited))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    #[cfg(feature = "memory")]
    let store = factum::memory::MemoryStore::new();
    #[cfg(feature = "postgres")]
    let store = factum::postgres::PostgresStore::connect(&std::env::var("POSTGRES")?).await?;
    let accounts = Repository::<Account>::new(store);
    accounts.execute(&Uuid::new_v4(), Bring(1)).await?;
    Ok(())
}
