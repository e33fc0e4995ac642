//! The smallest user of sourcery.

use serde::{Deserialize, Serialize};
use sourcery::{Apply, DomainEvent, Handle, Repository};
use uuid::Uuid;

// for each event {
#[derive(Serialize, Deserialize, Clone, Debug)]
struct Deposited {
    amount: i64,
    reference: Uuid,
    memo: String,
}

impl DomainEvent for Deposited {
    const KIND: &'static str = "account.deposited";
}

impl Apply<Deposited> for Account {
    fn apply(&mut self, event: &Deposited) {
        self.balance += event.amount;
    }
}
// }

#[derive(Default, Serialize, Deserialize, sourcery::Aggregate)]
#[aggregate(
    id = Uuid,
    error = String,
    events(
        // for each event {
        Deposited,
        // }
    )
)]
struct Account {
    balance: i64,
}

struct Bring(i64);

impl Handle<Bring> for Account {
    fn handle(&self, command: &Bring) -> Result<Vec<Self::Event>, Self::Error> {
        Ok(vec![Deposited { amount: command.0, reference: Uuid::new_v4(), memo: "memo".to_owned() }.into()])
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    #[cfg(feature = "memory")]
    let store = sourcery::store::inmemory::Store::<Uuid, ()>::new();
    #[cfg(feature = "postgres")]
    let store = sourcery::store::postgres::Store::<()>::new(sqlx::PgPool::connect(&std::env::var("POSTGRES")?).await?);
    Repository::new(store).execute_command::<Account, Bring>(&Uuid::new_v4(), &Bring(1), &()).await?;
    Ok(())
}
