//! The smallest user of evento.

use evento::metadata::Event;
use evento::projection::Projection;
use evento::{Postgres, ProjectionAggregate};
use sqlx::PgPool;
use uuid::Uuid;

#[evento::aggregate(name = "account")]
pub enum Account {
    // for each event {
    #[evento(name = "Deposited")]
    Deposited { amount: i64, reference: String, memo: String },
    // }
}

#[evento::projection(id = id)]
#[evento::snapshot(none)]
pub struct AccountView {
    pub id: String,
    pub balance: i64,
}

// for each event {
#[evento::handler]
async fn on_deposited(event: Event<Deposited>, view: &mut AccountView) -> anyhow::Result<()> {
    view.id.clone_from(&event.aggregate_id);
    view.balance += event.data.amount;
    Ok(())
}
// }

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let executor: Postgres = PgPool::connect(&std::env::var("POSTGRES")?).await?.into();
    let id = Uuid::new_v4().to_string();
    let accounts = Projection::<_, AccountView>::new::<Account>();
    // for each event {
    let accounts = accounts.handler(on_deposited());
    // }
    let deposited = Deposited { amount: 1, reference: Uuid::new_v4().to_string(), memo: "memo".to_owned() };
    match accounts.load(id.clone()).execute(&executor).await? {
        Some(account) => account.write()?.event(&deposited).commit(&executor).await?,
        None => evento::append(id).original_version(0).event(&deposited).commit(&executor).await?,
    };
    Ok(())
}
