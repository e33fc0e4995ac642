//! Money: whole cents, so that sums are exact.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An amount of money in cents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Cents(pub i64);

/// A text that is no amount of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an amount is written as dollars with two decimals, such as 11.77")]
pub struct InvalidAmount;

impl FromStr for Cents {
    type Err = InvalidAmount;

    /// Reads `11.77`: digits, a point, two digits.
    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        let (dollars, cents) = text.split_once('.').ok_or(InvalidAmount)?;
        let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if dollars.is_empty() || cents.len() != 2 || !all_digits(dollars) || !all_digits(cents) {
            return Err(InvalidAmount);
        }
        let dollars: i64 = dollars.parse().map_err(|_| InvalidAmount)?;
        let cents: i64 = cents.parse().map_err(|_| InvalidAmount)?;
        dollars.checked_mul(100).and_then(|sum| sum.checked_add(cents)).map(Self).ok_or(InvalidAmount)
    }
}

impl fmt::Display for Cents {
    /// Writes `2,500,315.63`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let cents = self.0.unsigned_abs();
        f.pad(&format!("{sign}{}.{:02}", crate::text::grouped(cents / 100), cents % 100))
    }
}

impl Add for Cents {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl AddAssign for Cents {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Neg for Cents {
    type Output = Self;

    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl Sum for Cents {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self(0), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_shops_write() {
        assert_eq!("11.77".parse(), Ok(Cents(1177)));
        assert_eq!("0.00".parse(), Ok(Cents(0)));
        for wrong in ["", "11", "11.7", "11.777", "-1.00", "1e3.00", ".50", "11,77", "92233720368547758.08"] {
            assert_eq!(wrong.parse::<Cents>(), Err(InvalidAmount), "{wrong}");
        }
    }

    #[test]
    fn writes_what_people_read() {
        assert_eq!(Cents(250_031_563).to_string(), "2,500,315.63");
        assert_eq!(Cents(-5).to_string(), "-0.05");
    }
}
