//! The CDNOW purchase history: one purchase a line.

use std::fmt;
use std::io::{self, BufRead};

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

use crate::domain::{Cents, CustomerId};

/// The longest line that is read; those of the file have 30 bytes.
const LINE_BYTES_MAX: usize = 4096;

/// One purchase: a line of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purchase {
    /// Its line, from 1 on, the header counted.
    pub line: u64,
    /// Who bought.
    pub customer: CustomerId,
    /// When: the file knows only the day.
    pub date: NaiveDate,
    /// How many CDs.
    pub cds: u32,
    /// For how much.
    pub amount: Cents,
}

impl Purchase {
    /// The purchase's day, as the moment it begins.
    pub fn time(&self) -> DateTime<Utc> {
        self.date.and_time(NaiveTime::MIN).and_utc()
    }
}

/// A line that is no purchase.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {field}: {reason}")]
pub struct BadLine {
    /// Its line, from 1 on, the header counted.
    pub line: u64,
    /// Which part of it.
    pub field: Field,
    /// What is wrong.
    pub reason: String,
}

/// A part of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The line itself.
    Line,
    /// The customer's number.
    Customer,
    /// The day.
    Date,
    /// The number of CDs.
    Cds,
    /// The value in dollars.
    Amount,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Line => "line",
            Self::Customer => "customer_id",
            Self::Date => "date",
            Self::Cds => "number_of_cds",
            Self::Amount => "dollar_value",
        })
    }
}

/// The purchases of a file, one after the other, with the bytes read so far. Memory use does not depend on the file.
#[derive(Debug)]
pub struct Lines<R> {
    input: R,
    line: u64,
    bytes: u64,
}

/// What a line was.
pub type Line = Result<Purchase, BadLine>;

impl<R: BufRead> Lines<R> {
    /// The purchases that `input` tells.
    pub fn new(input: R) -> Self {
        Self { input, line: 0, bytes: 0 }
    }

    /// How many bytes were read.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next purchase, `None` at the end. The header and blank lines are passed over.
    ///
    /// # Errors
    ///
    /// If the file cannot be read. A line that is no purchase is an answer, not an error.
    pub fn next_purchase(&mut self) -> io::Result<Option<Line>> {
        loop {
            let mut text = Vec::new();
            let read = self.read_line(&mut text)?;
            if read == 0 {
                return Ok(None);
            }
            self.line += 1;
            if read > LINE_BYTES_MAX {
                let reason = format!("it has {read} bytes, more than {LINE_BYTES_MAX}");
                return Ok(Some(Err(BadLine { line: self.line, field: Field::Line, reason })));
            }
            let is_header = self.line == 1 && is_header(&text);
            if !is_header && !is_empty(&text) {
                return Ok(Some(parse(self.line, &text)));
            }
        }
    }

    /// Reads a line, of which no more than can be used is kept, and returns its length.
    fn read_line(&mut self, text: &mut Vec<u8>) -> io::Result<usize> {
        let mut length = 0;
        loop {
            let chunk = self.input.fill_buf()?;
            if chunk.is_empty() {
                break;
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let used = end.map_or(chunk.len(), |end| end + 1);
            let kept = used.min(LINE_BYTES_MAX.saturating_sub(text.len()));
            text.extend_from_slice(&chunk[..kept]);
            self.input.consume(used);
            length += used;
            if end.is_some() {
                break;
            }
        }
        self.bytes += u64::try_from(length).expect("a length fits into 64 bits");
        Ok(length)
    }
}

fn is_empty(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_whitespace)
}

fn is_header(text: &[u8]) -> bool {
    text.trim_ascii_start().starts_with(b"customer_id")
}

/// Reads one line of the file.
fn parse(line: u64, text: &[u8]) -> Line {
    let bad = |field, reason: &str| BadLine { line, field, reason: reason.to_owned() };
    let text = std::str::from_utf8(text).map_err(|_| bad(Field::Line, "it is not text"))?;
    let mut fields = text.split_ascii_whitespace();
    let mut field = |field| fields.next().ok_or_else(|| bad(field, "it is missing"));

    let customer = field(Field::Customer)?;
    let date = field(Field::Date)?;
    let cds = field(Field::Cds)?;
    let amount = field(Field::Amount)?;
    if fields.next().is_some() {
        return Err(bad(Field::Line, "it has more than four fields"));
    }
    if !is_number(customer) || customer.len() > 20 {
        return Err(bad(Field::Customer, &format!("{customer:?} is not a number of at most 20 digits")));
    }
    let day = Some(date)
        .filter(|date| date.len() == 8 && is_number(date))
        .and_then(|date| NaiveDate::parse_from_str(date, "%Y%m%d").ok())
        .ok_or_else(|| bad(Field::Date, &format!("{date:?} is not a day written as YYYYMMDD")))?;
    let cds = Some(cds)
        .filter(|cds| is_number(cds))
        .and_then(|cds| cds.parse().ok())
        .filter(|cds| *cds > 0)
        .ok_or_else(|| bad(Field::Cds, &format!("{cds:?} is not a number from 1 on")))?;
    let amount = amount.parse().map_err(|error| bad(Field::Amount, &format!("{amount:?}: {error}")))?;
    Ok(Purchase { line, customer: CustomerId(customer.to_owned()), date: day, cds, amount })
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8]) -> Vec<Line> {
        let mut lines = Lines::new(text);
        let mut all = Vec::new();
        while let Some(line) = lines.next_purchase().expect("bytes can be read") {
            all.push(line);
        }
        all
    }

    fn field(line: &str) -> Field {
        let text = format!("{line}\r\n");
        let bad = all(text.as_bytes()).remove(0).expect_err(line);
        assert_eq!(bad.line, 1);
        bad.field
    }

    #[test]
    fn reads_the_file_as_it_is() {
        let text = b" customer_id  date number_of_cds  dollar_value\r\n 00001 19970101  1   11.77\r\n\r\n 00002 19970112 12 0.00";
        let purchase = |line, customer: &str, day, cds, amount| Purchase {
            line,
            customer: CustomerId(customer.into()),
            date: NaiveDate::from_ymd_opt(1997, 1, day).expect("a day"),
            cds,
            amount: Cents(amount),
        };
        let expected = [Ok(purchase(2, "00001", 1, 1, 1177)), Ok(purchase(4, "00002", 12, 12, 0))];
        assert_eq!(all(text), expected);
    }

    #[test]
    fn says_which_field_is_wrong() {
        assert_eq!(field("x0001 19970101 1 11.77"), Field::Customer);
        assert_eq!(field("00001 19970230 1 11.77"), Field::Date);
        assert_eq!(field("00001 970101 1 11.77"), Field::Date);
        assert_eq!(field("00001 19970101 0 11.77"), Field::Cds);
        assert_eq!(field("00001 19970101 +1 11.77"), Field::Cds);
        assert_eq!(field("00001 19970101 -1 11.77"), Field::Cds);
        assert_eq!(field("00001 19970101 99999999999 11.77"), Field::Cds);
        assert_eq!(field("00001 19970101 1 11.7"), Field::Amount);
        assert_eq!(field("00001 19970101 1 -11.77"), Field::Amount);
        assert_eq!(field("00001 19970101 1"), Field::Amount);
        assert_eq!(field("00001"), Field::Date);
        assert_eq!(field("00001 19970101 1 11.77 more"), Field::Line);
    }

    #[test]
    fn a_bad_line_does_not_hide_the_next() {
        let long = [b"1 ".repeat(5000), b"\n1 19970101 1 1.00\n\xff\n1 19970101 1 2.00".to_vec()].concat();
        let lines = all(&long);
        assert_eq!(lines.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true, false, true]);
        assert_eq!(lines[3].as_ref().map(|purchase| purchase.line), Ok(4));
    }
}
