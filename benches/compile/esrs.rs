//! The smallest user of esrs.

use std::convert::Infallible;

use esrs::manager::AggregateManager;
use esrs::store::postgres::PgStoreBuilder;
use esrs::{Aggregate, AggregateState};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use uuid::Uuid;

#[derive(Serialize, Deserialize, Clone, Debug)]
enum AccountEvent {
    // for each event {
    Deposited { amount: i64, reference: Uuid, memo: String },
    // }
}

struct Account;

#[derive(Default)]
struct State {
    balance: i64,
}

struct Bring(i64);

impl Aggregate for Account {
    const NAME: &'static str = "account";
    type State = State;
    type Command = Bring;
    type Event = AccountEvent;
    type Error = Infallible;

    fn handle_command(_: &State, command: Bring) -> Result<Vec<AccountEvent>, Infallible> {
        let (reference, memo) = (Uuid::new_v4(), "memo".to_owned());
        Ok(vec![AccountEvent::Deposited { amount: command.0, reference, memo }])
    }

    fn apply_event(state: State, event: AccountEvent) -> State {
        match event {
            // for each event {
            AccountEvent::Deposited { amount, .. } => State { balance: state.balance + amount },
            // }
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = PgPool::connect(&std::env::var("POSTGRES")?).await?;
    let store = PgStoreBuilder::<Account>::new(pool).try_build().await?;
    let state = AggregateState::with_id(Uuid::new_v4());
    AggregateManager::new(store).handle_command(state, Bring(1)).await??;
    Ok(())
}
