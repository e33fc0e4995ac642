//! Histories as text: a line for each beginning and for each answer, with tabs between its fields, which no name can
//! have.
//!
//! ```text
//! began     client  number  time  append  stream  expected  id,id,…  [stream  expected  id,id,…]…
//! began     client  number  time  read    stream
//! answered  client  number  time  appended  position  version,version,…
//! answered  client  number  time  conflict  stream  expected  actual
//! answered  client  number  time  reused    id  stream  recorded stream  recorded version
//! answered  client  number  time  refused
//! answered  client  number  time  saw       id:version,id:version,…
//! ```

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::str::FromStr;

use factum_core::{Conflict, EventId, Expected, IdReused, Position, StreamId, Version};

use super::{Answer, Answered, History, Operation, Part, Request};

/// A line that is none of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineError {
    /// Which, from 1 on.
    pub number: usize,
    /// What it says.
    pub line: String,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} is not one of a history: {:?}", self.number, self.line)
    }
}

impl Error for LineError {}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.operations.iter().try_for_each(|operation| writeln!(f, "{operation}"))
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&beginning(self))?;
        if self.answered.is_some() { write!(f, "\n{}", answer(self)) } else { Ok(()) }
    }
}

/// Reads lines in any order, if every beginning comes before its answer. A last line without its end is one that was
/// being written when the client was killed, and is left out: what it began was not yet asked, what it answered is
/// not known.
impl FromStr for History {
    type Err = LineError;

    fn from_str(text: &str) -> Result<Self, LineError> {
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let mut history = Self::default();
        let mut begun = HashMap::new();
        for (at, line) in whole.split('\n').enumerate().filter(|(_, line)| !line.is_empty()) {
            read(line, &mut history, &mut begun)
                .ok_or_else(|| LineError { number: at + 1, line: line.to_owned() })?;
        }
        Ok(history)
    }
}

/// The line of an operation's beginning.
pub(super) fn beginning(operation: &Operation) -> String {
    let Operation { client, number, invoked, request, .. } = operation;
    let what = match request {
        Request::Append(parts) => {
            let part =
                |part: &Part| format!("\t{}\t{}\t{}", part.stream, demand(part.expected), list(&part.ids));
            format!("append{}", parts.iter().map(part).collect::<String>())
        }
        Request::Read(stream) => format!("read\t{stream}"),
    };
    format!("began\t{client}\t{number}\t{invoked}\t{what}")
}

/// The line of its answer; empty if there is none.
pub(super) fn answer(operation: &Operation) -> String {
    let Operation { client, number, answered: Some(Answered { at, answer }), .. } = operation else {
        return String::new();
    };
    let told = match answer {
        Answer::Appended { position, versions } => format!("appended\t{position}\t{}", list(versions)),
        Answer::Conflict(Conflict { stream, expected, actual }) => {
            let actual = actual.map_or_else(|| "none".to_owned(), |version| version.to_string());
            format!("conflict\t{stream}\t{}\t{actual}", demand(*expected))
        }
        Answer::IdReused(IdReused { id, stream, recorded_stream, recorded_version }) => {
            format!("reused\t{id}\t{stream}\t{recorded_stream}\t{recorded_version}")
        }
        Answer::Refused => "refused".to_owned(),
        Answer::Read(events) => {
            format!("saw\t{}", list(events.iter().map(|(id, version)| format!("{id}:{version}"))))
        }
    };
    format!("answered\t{client}\t{number}\t{at}\t{told}")
}

/// Adds what a line says.
fn read(line: &str, history: &mut History, begun: &mut HashMap<(String, u64), usize>) -> Option<()> {
    let mut fields = line.split('\t');
    let mut next = || fields.next();
    let (kind, client, number, time) = (next()?, next()?.to_owned(), next()?.parse().ok()?, next()?);
    let (time, what) = (time.parse().ok()?, next()?);
    let rest: Vec<&str> = fields.collect();
    match kind {
        "began" => {
            let request = read_request(what, &rest)?;
            let at = history.operations.len();
            let is_new = begun.insert((client.clone(), number), at).is_none();
            history.operations.push(Operation { client, number, invoked: time, request, answered: None });
            is_new.then_some(())
        }
        "answered" => {
            let operation = &mut history.operations[*begun.get(&(client, number))?];
            let is_first = operation.answered.is_none();
            operation.answered = Some(Answered { at: time, answer: read_answer(what, &rest)? });
            is_first.then_some(())
        }
        _ => None,
    }
}

fn read_request(what: &str, rest: &[&str]) -> Option<Request> {
    match (what, rest) {
        ("append", parts) => {
            let parts = parts.chunks(3).map(|part| match part {
                [stream, expected, ids] => Some(Part {
                    stream: stream.parse().ok()?,
                    expected: read_demand(expected)?,
                    ids: read_list(ids, read_id)?,
                }),
                _ => None,
            });
            parts.collect::<Option<_>>().map(Request::Append)
        }
        ("read", [stream]) => stream.parse().ok().map(Request::Read),
        _ => None,
    }
}

fn read_answer(what: &str, rest: &[&str]) -> Option<Answer> {
    Some(match (what, rest) {
        ("appended", [position, versions]) => Answer::Appended {
            position: Position(position.parse().ok()?),
            versions: read_list(versions, read_version)?,
        },
        ("conflict", [stream, expected, actual]) => Answer::Conflict(Conflict {
            stream: stream.parse().ok()?,
            expected: read_demand(expected)?,
            actual: if *actual == "none" { None } else { Some(read_version(actual)?) },
        }),
        ("reused", [id, stream, recorded_stream, recorded_version]) => Answer::IdReused(IdReused {
            id: read_id(id)?,
            stream: stream.parse().ok()?,
            recorded_stream: recorded_stream.parse::<StreamId>().ok()?,
            recorded_version: read_version(recorded_version)?,
        }),
        ("refused", []) => Answer::Refused,
        ("saw", [events]) => Answer::Read(read_list(events, |event| {
            let (id, version) = event.split_once(':')?;
            Some((read_id(id)?, read_version(version)?))
        })?),
        _ => return None,
    })
}

fn demand(expected: Expected) -> String {
    match expected {
        Expected::Any => "any".to_owned(),
        Expected::NoStream => "no-stream".to_owned(),
        Expected::Exists => "exists".to_owned(),
        Expected::Exactly(version) => version.to_string(),
    }
}

fn read_demand(text: &str) -> Option<Expected> {
    Some(match text {
        "any" => Expected::Any,
        "no-stream" => Expected::NoStream,
        "exists" => Expected::Exists,
        version => Expected::Exactly(read_version(version)?),
    })
}

/// A list of nothing is written `none`, so that no field is empty.
fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() { "none".to_owned() } else { items.join(",") }
}

fn read_list<T>(text: &str, item: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    if text == "none" { Some(Vec::new()) } else { text.split(',').map(item).collect() }
}

fn read_id(text: &str) -> Option<EventId> {
    text.parse().ok().map(EventId)
}

fn read_version(text: &str) -> Option<Version> {
    text.parse().ok().map(Version)
}
