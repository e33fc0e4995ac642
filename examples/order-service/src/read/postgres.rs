//! The read model in Postgres. A batch of rows is one statement, because round trips are what costs.

use chrono::NaiveDate;
use factum::postgres::PostgresTx;
use sqlx::postgres::PgPool;

use super::{Month, ReadError, ReadModel, Spend};
use crate::domain::{Cents, CustomerId};

/// The tables in the store's Postgres database.
#[derive(Clone, Debug)]
pub struct PostgresRead {
    pool: PgPool,
}

impl PostgresRead {
    /// Makes the tables if they are missing, and reads them through the store's `pool`.
    ///
    /// # Errors
    ///
    /// If the database cannot be written.
    pub async fn migrate(pool: PgPool) -> Result<Self, ReadError> {
        sqlx::migrate!("migrations/postgres").run(&pool).await?;
        Ok(Self { pool })
    }
}

impl ReadModel for PostgresRead {
    type Tx = PostgresTx;

    async fn add_spend(&self, tx: &mut PostgresTx, spend: Vec<(CustomerId, Spend)>) -> Result<(), ReadError> {
        let (mut customers, mut orders, mut cds, mut cents) = (vec![], vec![], vec![], vec![]);
        let mut last_orders = vec![];
        for (customer, added) in spend {
            customers.push(customer.0);
            orders.push(added.orders);
            cds.push(added.cds);
            cents.push(added.spent.0);
            last_orders.push(added.last_order);
        }
        sqlx::query(
            "INSERT INTO spend_per_customer_2 AS spend (customer, orders, cds, cents, last_order)
             SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::date[])
             ON CONFLICT (customer) DO UPDATE SET
                 orders = spend.orders + excluded.orders,
                 cds = spend.cds + excluded.cds,
                 cents = spend.cents + excluded.cents,
                 last_order = greatest(spend.last_order, excluded.last_order)",
        )
        .bind(customers)
        .bind(orders)
        .bind(cds)
        .bind(cents)
        .bind(last_orders)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    async fn put_spend_in_use(&self, tx: &mut PostgresTx) -> Result<(), ReadError> {
        sqlx::query(
            "CREATE OR REPLACE VIEW spend_per_customer AS
             SELECT customer, orders, cds, cents, last_order FROM spend_per_customer_2",
        )
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    async fn add_revenue(&self, tx: &mut PostgresTx, revenue: Vec<(Month, Cents)>) -> Result<(), ReadError> {
        let (months, cents): (Vec<_>, Vec<_>) =
            revenue.into_iter().map(|(month, added)| (month.0, added.0)).unzip();
        sqlx::query(
            "INSERT INTO revenue_per_month AS revenue (month, cents)
             SELECT * FROM unnest($1::text[], $2::bigint[])
             ON CONFLICT (month) DO UPDATE SET cents = revenue.cents + excluded.cents",
        )
        .bind(months)
        .bind(cents)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    async fn totals(&self) -> Result<(u64, Spend), ReadError> {
        let (customers, orders, cds, cents, last_order): (i64, i64, i64, i64, Option<NaiveDate>) =
            sqlx::query_as(
                "SELECT count(*), coalesce(sum(orders), 0)::bigint, coalesce(sum(cds), 0)::bigint,
                    coalesce(sum(cents), 0)::bigint, max(last_order)
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
        .bind(i64::from(count))
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
