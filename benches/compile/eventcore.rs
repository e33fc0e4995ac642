//! The smallest user of eventcore.

use eventcore::{Command, CommandError, CommandLogic, Event, NewEvents, RetryPolicy, StreamId, execute};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Serialize, Deserialize, Clone, Debug)]
enum AccountEvent {
    // for each event {
    Deposited { account: StreamId, amount: i64, reference: Uuid, memo: String },
    // }
}

impl Event for AccountEvent {
    fn stream_id(&self) -> &StreamId {
        match self {
            // for each event {
            Self::Deposited { account, .. } => account,
            // }
        }
    }

    fn event_type_name() -> &'static str {
        "AccountEvent"
    }
}

#[derive(Default)]
struct Account {
    balance: i64,
}

#[derive(Command)]
struct Bring {
    #[stream]
    account: StreamId,
    amount: i64,
}

impl CommandLogic for Bring {
    type Event = AccountEvent;
    type State = Account;

    fn apply(&self, state: Account, event: &AccountEvent) -> Account {
        match event {
            // for each event {
            AccountEvent::Deposited { amount, .. } => Account { balance: state.balance + amount },
            // }
        }
    }

    fn handle(&self, _: Account) -> Result<NewEvents<AccountEvent>, CommandError> {
        let (account, amount) = (self.account.clone(), self.amount);
        let deposited = AccountEvent::Deposited { account, amount, reference: Uuid::new_v4(), memo: "memo".to_owned() };
        Ok(vec![deposited].into())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    #[cfg(feature = "memory")]
    let store = eventcore_memory::InMemoryEventStore::new();
    #[cfg(feature = "postgres")]
    let store = eventcore::postgres::PostgresEventStore::new(std::env::var("POSTGRES")?).await?;
    let account = StreamId::try_new(format!("account-{}", Uuid::new_v4()))?;
    execute(&store, Bring { account, amount: 1 }, RetryPolicy::new()).await?;
    Ok(())
}
