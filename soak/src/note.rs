//! Notes of subscribers, of the log and of what was done to them: a line each, with tabs between its fields.
//!
//! ```text
//! resumed  position                                     a subscriber reads on after its checkpoint
//! saw      position  id  stream  version  name  whole   an event, before anything is done with it
//! moving   from  to                                     before the checkpoint is moved
//! moved                                                 the answer to that
//! refused                                               the other answer: it was not moved
//! row      position  id  stream  version                of the projection
//! total    stream  events  version                      of the projection
//! fault    time  kind  whom                             done by the run, and over then
//! looked   time  events                                 all that were acknowledged before it were there
//! to-kill  times                                        how often the run is to kill what it can kill, at least
//! error    time  transient|strange  kind  doing  text   told by the store
//! back     time  id                                     a transaction with this event in it is rolled back
//! asked    number  time  what  stream  version          before a stream is changed as a whole
//! told     number  time  done  position version         the answer to that, from the event that says so
//! told     number  time  cut                            the answer, if it was truncated
//! told     number  time  refused                        the other answer: it was not changed
//! archived position  id  stream  version  name  whole   an event of the store that is set apart
//! erased   position  id  stream  version                what is left of an event without its content
//! mark     id                                           a row that was committed together with this event
//! ```

use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::str::FromStr;

use anyhow::Context as _;
use factum_conformance::history::Logged;
use factum_core::{EventId, Position, RecordedEvent, StoreError, StreamId, Version};

use crate::change::{Change, Done};
use crate::content;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    Resumed(Position),
    Saw(Seen),
    Moving { from: Position, to: Position },
    Moved,
    Refused,
    Row(Logged),
    Total(Total),
    Fault { at: u64, kind: String, whom: String },
    Looked { at: u64, events: usize },
    ToKill(usize),
    Error(Trouble),
    Back { at: u64, id: EventId },
    Mark(EventId),
    Asked { number: u64, at: u64, change: Change },
    Told { number: u64, at: u64, done: Option<Done> },
    Archived(Seen),
    Erased(Logged),
}

/// An event as somebody was shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) event: Logged,
    pub(crate) name: String,
    /// Whether it is as it was given.
    pub(crate) is_whole: bool,
}

/// What the projection holds of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Total {
    pub(crate) stream: StreamId,
    pub(crate) events: u64,
    /// Of its last event.
    pub(crate) version: Version,
}

/// An error that a store told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) at: u64,
    /// Whether trying again may help, as is to be told by a store that is broken from outside.
    pub(crate) is_transient: bool,
    pub(crate) kind: String,
    /// What was to be done.
    pub(crate) doing: String,
    pub(crate) text: String,
}

impl Trouble {
    pub(crate) fn new(at: u64, doing: impl Into<String>, error: &StoreError) -> Self {
        let kind = format!("{:?}", error.kind());
        let kind = kind.split(' ').next().unwrap_or_default().to_owned();
        let text = format!("{error:?}");
        Self { at, is_transient: error.is_transient(), kind, doing: doing.into(), text }
    }
}

impl From<&RecordedEvent> for Seen {
    fn from(event: &RecordedEvent) -> Self {
        let (name, is_whole) = (event.name.as_str().to_owned(), content::is_whole(event));
        Self { event: Logged::from(event), name, is_whole }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resumed(at) => write!(f, "resumed\t{at}"),
            Self::Saw(seen) => write!(f, "saw\t{}", content_fields(seen)),
            Self::Moving { from, to } => write!(f, "moving\t{from}\t{to}"),
            Self::Moved => f.write_str("moved"),
            Self::Refused => f.write_str("refused"),
            Self::Row(event) => write!(f, "row\t{}", fields(event)),
            Self::Total(Total { stream, events, version }) => {
                write!(f, "total\t{stream}\t{events}\t{version}")
            }
            Self::Fault { at, kind, whom } => write!(f, "fault\t{at}\t{kind}\t{whom}"),
            Self::Looked { at, events } => write!(f, "looked\t{at}\t{events}"),
            Self::ToKill(times) => write!(f, "to-kill\t{times}"),
            Self::Error(Trouble { at, is_transient, kind, doing, text }) => {
                let helps = if *is_transient { "transient" } else { "strange" };
                write!(f, "error\t{at}\t{helps}\t{kind}\t{doing}\t{}", text.replace(char::is_control, " "))
            }
            Self::Back { at, id } => write!(f, "back\t{at}\t{id}"),
            Self::Mark(id) => write!(f, "mark\t{id}"),
            Self::Asked { number, at, change: Change { what, stream, version } } => {
                write!(f, "asked\t{number}\t{at}\t{}\t{stream}\t{version}", what.name())
            }
            Self::Told { number, at, done } => {
                write!(f, "told\t{number}\t{at}\t")?;
                match done {
                    Some(Done::At(position, version)) => write!(f, "done\t{position}\t{version}"),
                    Some(Done::Cut) => f.write_str("cut"),
                    None => f.write_str("refused"),
                }
            }
            Self::Archived(seen) => write!(f, "archived\t{}", content_fields(seen)),
            Self::Erased(event) => write!(f, "erased\t{}", fields(event)),
        }
    }
}

impl FromStr for Note {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> anyhow::Result<Self> {
        parse(line).with_context(|| format!("not a note: {line:?}"))
    }
}

/// Writes notes to a file, each page of them at once.
#[derive(Debug)]
pub(crate) struct Notebook(File);

impl Notebook {
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create_new(path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(file))
    }

    pub(crate) fn write(&mut self, notes: impl IntoIterator<Item = Note>) -> anyhow::Result<()> {
        use fmt::Write as _;
        let mut text = String::new();
        notes.into_iter().try_for_each(|note| writeln!(text, "{note}"))?;
        Ok(self.0.write_all(text.as_bytes())?)
    }
}

/// The notes of a file. A last line without its end is one that was being written when its writer was killed, and is
/// left out.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Note>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines = whole.split('\n').filter(|line| !line.is_empty());
    lines.map(str::parse).collect::<anyhow::Result<_>>().with_context(|| format!("in {}", path.display()))
}

fn fields(event: &Logged) -> String {
    let Logged { id, stream, version, position } = event;
    format!("{position}\t{id}\t{stream}\t{version}")
}

fn content_fields(Seen { event, name, is_whole }: &Seen) -> String {
    format!("{}\t{name}\t{}", fields(event), if *is_whole { "whole" } else { "changed" })
}

fn parse(line: &str) -> Option<Note> {
    let fields: Vec<&str> = line.split('\t').collect();
    Some(match fields[..] {
        ["resumed", at] => Note::Resumed(position(at)?),
        ["saw", ref seen @ ..] => Note::Saw(content(seen)?),
        ["archived", ref seen @ ..] => Note::Archived(content(seen)?),
        ["erased", at, id, stream, version] => Note::Erased(event(at, id, stream, version)?),
        ["asked", number, at, what, stream, at_version] => Note::Asked {
            number: number.parse().ok()?,
            at: at.parse().ok()?,
            change: Change {
                what: what.parse().ok()?,
                stream: stream.parse().ok()?,
                version: version(at_version)?,
            },
        },
        ["told", number, at, ref done @ ..] => Note::Told {
            number: number.parse().ok()?,
            at: at.parse().ok()?,
            done: match done {
                ["done", at, at_version] => Some(Done::At(position(at)?, version(at_version)?)),
                ["cut"] => Some(Done::Cut),
                ["refused"] => None,
                _ => return None,
            },
        },
        ["moving", from, to] => Note::Moving { from: position(from)?, to: position(to)? },
        ["moved"] => Note::Moved,
        ["refused"] => Note::Refused,
        ["row", at, id, stream, version] => Note::Row(event(at, id, stream, version)?),
        ["total", stream, events, last] => Note::Total(Total {
            stream: stream.parse().ok()?,
            events: events.parse().ok()?,
            version: version(last)?,
        }),
        ["fault", at, kind, whom] => {
            Note::Fault { at: at.parse().ok()?, kind: kind.to_owned(), whom: whom.to_owned() }
        }
        ["error", at, helps, kind, doing, text] => Note::Error(Trouble {
            at: at.parse().ok()?,
            is_transient: helps == "transient",
            kind: kind.to_owned(),
            doing: doing.to_owned(),
            text: text.to_owned(),
        }),
        ["looked", at, events] => Note::Looked { at: at.parse().ok()?, events: events.parse().ok()? },
        ["to-kill", times] => Note::ToKill(times.parse().ok()?),
        ["mark", id] => Note::Mark(EventId(id.parse().ok()?)),
        ["back", at, id] => Note::Back { at: at.parse().ok()?, id: EventId(id.parse().ok()?) },
        _ => return None,
    })
}

fn content(seen: &[&str]) -> Option<Seen> {
    let [at, id, stream, version, name, whole] = *seen else { return None };
    let event = event(at, id, stream, version)?;
    Some(Seen { event, name: name.to_owned(), is_whole: whole == "whole" })
}

fn event(at: &str, id: &str, stream: &str, last: &str) -> Option<Logged> {
    Some(Logged {
        id: EventId(id.parse().ok()?),
        stream: stream.parse().ok()?,
        version: version(last)?,
        position: position(at)?,
    })
}

fn version(text: &str) -> Option<Version> {
    text.parse().ok().map(Version)
}

fn position(text: &str) -> Option<Position> {
    text.parse().ok().map(Position)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::What;

    #[test]
    fn notes_are_read_as_they_were_written() {
        let event = Logged {
            id: EventId::new(),
            stream: "own/1 2".parse().unwrap(),
            version: Version(3),
            position: Position(7),
        };
        let seen = Seen { event: event.clone(), name: "soak.tagged".to_owned(), is_whole: false };
        let total = Total { stream: event.stream.clone(), events: 3, version: Version(3) };
        let trouble = Trouble {
            at: 5,
            is_transient: false,
            kind: "Other".to_owned(),
            doing: "append".to_owned(),
            text: "a b".to_owned(),
        };
        let broken = Note::Error(Trouble { text: "a\nb".to_owned(), ..trouble.clone() });
        assert_eq!(broken.to_string(), Note::Error(trouble.clone()).to_string());
        for note in [
            Note::Resumed(Position(1)),
            Note::Saw(seen.clone()),
            Note::Archived(seen),
            Note::Erased(event.clone()),
            Note::Asked {
                number: 4,
                at: 5,
                change: Change { what: What::Archive, stream: event.stream.clone(), version: Version(3) },
            },
            Note::Told { number: 4, at: 6, done: Some(Done::At(Position(7), Version(3))) },
            Note::Told { number: 4, at: 6, done: Some(Done::Cut) },
            Note::Told { number: 4, at: 6, done: None },
            Note::Moving { from: Position(1), to: Position(2) },
            Note::Moved,
            Note::Refused,
            Note::Row(event),
            Note::Total(total),
            Note::Fault { at: 5, kind: "kill".to_owned(), whom: String::new() },
            Note::Looked { at: 5, events: 7 },
            Note::ToKill(50),
            Note::Error(trouble),
            Note::Back { at: 5, id: EventId::new() },
            Note::Mark(EventId::new()),
        ] {
            assert_eq!(note.to_string().parse::<Note>().unwrap(), note);
        }
        assert!("moved\t1".parse::<Note>().is_err());
    }
}
