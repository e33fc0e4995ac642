//! The read models, printed.

use std::fmt;

use crate::domain::{Cents, CustomerId};
use crate::read::{Month, ReadError, ReadModel, Spend};
use crate::text::grouped;

/// How many customers are the best ones.
const BEST: u32 = 10;

/// The longest bar, in characters.
const BAR_WIDTH: i64 = 48;

/// What the shop has sold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How many customers there are.
    pub customers: u64,
    /// What they have bought together.
    pub total: Spend,
    /// Those who have spent most, the best first.
    pub best: Vec<(CustomerId, Spend)>,
    /// What each month has brought.
    pub months: Vec<(Month, Cents)>,
}

impl Report {
    /// Asks the read model.
    ///
    /// # Errors
    ///
    /// If its database fails.
    pub async fn of(read: &impl ReadModel) -> Result<Self, ReadError> {
        let (customers, total) = read.totals().await?;
        let (best, months) = (read.best_customers(BEST).await?, read.revenue_per_month().await?);
        Ok(Self { customers, total, best, months })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spend { orders, cds, spent, .. } = self.total;
        writeln!(f, "customers  {:>12}", grouped(self.customers))?;
        writeln!(f, "orders     {:>12}", count(orders))?;
        writeln!(f, "CDs        {:>12}", count(cds))?;
        writeln!(f, "revenue    {spent:>12}")?;

        writeln!(f, "\nThe best customers")?;
        for (rank, (customer, Spend { orders, cds, spent, last_order })) in (1..).zip(&self.best) {
            let (orders, cds) = (count(*orders), count(*cds));
            let last = last_order.map(|day| format!("  last on {day}")).unwrap_or_default();
            writeln!(f, "{rank:>3}. {customer}  {spent:>12}  {orders:>5} orders  {cds:>6} CDs{last}")?;
        }

        writeln!(f, "\nRevenue per month")?;
        let most = self.months.iter().map(|(_, revenue)| revenue.0).max().unwrap_or(0).max(1);
        for (month, revenue) in &self.months {
            writeln!(f, "{month}  {revenue:>12}  {}", bar(revenue.0, most))?;
        }
        Ok(())
    }
}

/// A count with its groups of digits; more may be cancelled than was ordered only while a projection is behind.
fn count(number: i64) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", grouped(number.unsigned_abs()))
}

/// A bar as long as `value` is, where `most` has the full width; eighths of a character are drawn too.
fn bar(value: i64, most: i64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let length = usize::try_from(value.max(0) * BAR_WIDTH * 8 / most).unwrap_or(0);
    "█".repeat(length / 8) + EIGHTHS[length % 8]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_values() {
        assert_eq!(bar(100, 100).chars().count(), 48);
        assert_eq!(bar(50, 100), "█".repeat(24));
        assert_eq!(bar(0, 100), "");
        assert_eq!(bar(-5, 100), "");
        assert_eq!(bar(1, 96), "▌");
    }
}
