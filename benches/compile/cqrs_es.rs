//! The smallest user of cqrs-es.

use std::convert::Infallible;

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
enum AccountEvent {
    // for each event {
    Deposited { amount: i64, reference: Uuid, memo: String },
    // }
}

impl DomainEvent for AccountEvent {
    fn event_type(&self) -> String {
        match self {
            // for each event {
            Self::Deposited { .. } => "Deposited".to_owned(),
            // }
        }
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

#[derive(Serialize, Deserialize, Default)]
struct Account {
    balance: i64,
}

struct Bring(i64);

impl Aggregate for Account {
    const TYPE: &'static str = "account";
    type Command = Bring;
    type Event = AccountEvent;
    type Error = Infallible;
    type Services = ();

    async fn handle(&mut self, command: Bring, (): &(), sink: &EventSink<Self>) -> Result<(), Infallible> {
        let event = AccountEvent::Deposited { amount: command.0, reference: Uuid::new_v4(), memo: "memo".to_owned() };
        sink.write(event, self).await;
        Ok(())
    }

    fn apply(&mut self, event: AccountEvent) {
        match event {
            // for each event {
            AccountEvent::Deposited { amount, .. } => self.balance += amount,
            // }
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    #[cfg(feature = "memory")]
    let accounts =
        cqrs_es::CqrsFramework::new(cqrs_es::mem_store::MemStore::<Account>::default(), Vec::new(), ());
    #[cfg(feature = "postgres")]
    let accounts = {
        let pool = postgres_es::default_postgress_pool(&std::env::var("POSTGRES")?).await;
        postgres_es::postgres_cqrs::<Account>(pool, Vec::new(), ())
    };
    accounts.execute(&Uuid::new_v4().to_string(), Bring(1)).await?;
    Ok(())
}
