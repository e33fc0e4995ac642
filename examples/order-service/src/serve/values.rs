//! Values that come from outside: checked where they come in, so that nobody has to check them again.

use lettre::Address;
use serde::Deserialize;

/// The longest name, in characters.
const NAME_CHARS_MAX: usize = 64;

/// The longest text of a person, in characters.
const WORDS_CHARS_MAX: usize = 500;

/// Who or what: one line of text.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Name(pub(super) String);

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        line(text, NAME_CHARS_MAX).map(Self)
    }
}

/// What a person writes: one line of text, with more room.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Words(pub(super) String);

impl TryFrom<String> for Words {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        line(text, WORDS_CHARS_MAX).map(Self)
    }
}

fn line(text: String, chars_max: usize) -> Result<String, String> {
    let is_fine = !text.is_empty() && text.trim() == text && !text.contains(char::is_control);
    if is_fine && text.chars().count() <= chars_max {
        return Ok(text);
    }
    Err(format!(
        "a text of 1 to {chars_max} characters, in one line and without blanks around it, is expected"
    ))
}

/// Where somebody reads mail.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Email(pub(super) String);

impl TryFrom<String> for Email {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.parse::<Address>() {
            Ok(_) => Ok(Self(text)),
            Err(error) => Err(format!("no mail address: {error}")),
        }
    }
}

/// How many; so few that sums of all orders have room.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "u32")]
pub(super) struct Quantity(pub(super) u32);

impl TryFrom<u32> for Quantity {
    type Error = &'static str;

    fn try_from(quantity: u32) -> Result<Self, &'static str> {
        match quantity {
            1..=1_000_000 => Ok(Self(quantity)),
            _ => Err("a quantity from 1 to 1000000 is expected"),
        }
    }
}

/// An amount of money; so small that sums of all orders have room.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "i64")]
pub(super) struct Amount(pub(super) i64);

impl TryFrom<i64> for Amount {
    type Error = &'static str;

    fn try_from(cents: i64) -> Result<Self, &'static str> {
        match cents {
            0..=10_000_000_000 => Ok(Self(cents)),
            _ => Err("an amount from 0 to 10000000000 cents is expected"),
        }
    }
}
