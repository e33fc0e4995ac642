//! The read model in SQLite. A batch of rows is one statement, because statements are what costs.

use std::path::Path;
use std::time::Duration;

use chrono::NaiveDate;
use factum::sqlite::SqliteTx;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use sqlx::{ConnectOptions, Connection};

use super::{Month, ReadError, ReadModel, Spend};
use crate::domain::{Cents, CustomerId};

/// How long others may take who write to the file meanwhile.
const WAIT_FOR_OTHERS: Duration = Duration::from_secs(30);

/// The tables in the store's SQLite file.
#[derive(Clone, Debug)]
pub struct SqliteRead {
    pool: SqlitePool,
}

impl SqliteRead {
    /// Makes the tables in `file` if they are missing, and reads them through the store's `pool`.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub async fn migrate(file: &Path, pool: SqlitePool) -> Result<Self, ReadError> {
        let options = SqliteConnectOptions::new().filename(file).busy_timeout(WAIT_FOR_OTHERS);
        let mut connection = options.connect().await?;
        // Several programs may begin at once. In Postgres, sqlx lets one of them in after the other; here a transaction does.
        let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::migrate!("migrations/sqlite").run_direct(None, &mut *tx, false).await?;
        tx.commit().await?;
        connection.close().await?;
        Ok(Self { pool })
    }
}

impl ReadModel for SqliteRead {
    type Tx = SqliteTx;

    async fn add_spend(&self, tx: &mut SqliteTx, spend: Vec<(CustomerId, Spend)>) -> Result<(), ReadError> {
        let rows: Vec<_> = spend
            .into_iter()
            .map(|(customer, added)| (customer, added.orders, added.cds, added.spent, added.last_order))
            .collect();
        sqlx::query(
            "INSERT INTO spend_per_customer_2 (customer, orders, cds, cents, last_order)
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each($1) WHERE true
             ON CONFLICT (customer) DO UPDATE SET
                 orders = orders + excluded.orders,
                 cds = cds + excluded.cds,
                 cents = cents + excluded.cents,
                 last_order = coalesce(max(last_order, excluded.last_order), last_order, excluded.last_order)",
        )
        .bind(serde_json::to_string(&rows)?)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    async fn put_spend_in_use(&self, tx: &mut SqliteTx) -> Result<(), ReadError> {
        sqlx::raw_sql(
            "DROP VIEW spend_per_customer;
             CREATE VIEW spend_per_customer AS
             SELECT customer, orders, cds, cents, last_order FROM spend_per_customer_2",
        )
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    async fn add_revenue(&self, tx: &mut SqliteTx, revenue: Vec<(Month, Cents)>) -> Result<(), ReadError> {
        let rows: Vec<_> = revenue.into_iter().map(|(month, added)| (month.0, added)).collect();
        sqlx::query(
            "INSERT INTO revenue_per_month (month, cents)
             SELECT value ->> 0, value ->> 1 FROM json_each($1) WHERE true
             ON CONFLICT (month) DO UPDATE SET cents = cents + excluded.cents",
        )
        .bind(serde_json::to_string(&rows)?)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    async fn totals(&self) -> Result<(u64, Spend), ReadError> {
        let (customers, orders, cds, cents, last_order): (i64, i64, i64, i64, Option<NaiveDate>) =
            sqlx::query_as(
                "SELECT count(*), coalesce(sum(orders), 0), coalesce(sum(cds), 0), coalesce(sum(cents), 0),
                    max(last_order)
             FROM spend_per_customer",
            )
            .fetch_one(&self.pool)
            .await?;
        Ok((u64::try_from(customers)?, Spend { orders, cds, spent: Cents(cents), last_order }))
    }

    async fn best_customers(&self, count: u32) -> Result<Vec<(CustomerId, Spend)>, ReadError> {
        let rows: Vec<super::SpendRow> = sqlx::query_as(
            "SELECT customer, orders, cds, cents, last_order
             FROM spend_per_customer
             ORDER BY cents DESC, customer
             LIMIT $1",
        )
        .bind(count)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(super::spend_row).collect())
    }

    async fn revenue_per_month(&self) -> Result<Vec<(Month, Cents)>, ReadError> {
        let rows: Vec<(String, i64)> =
            sqlx::query_as("SELECT month, cents FROM revenue_per_month ORDER BY month")
                .fetch_all(&self.pool)
                .await?;
        Ok(rows.into_iter().map(super::revenue_row).collect())
    }
}
