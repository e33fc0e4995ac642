//! What clients have asked for, and what they were answered: noted by each before it asks, so that also what a process was
//! killed over is known.
//!
//! As text, with tabs between the fields, which no name can have:
//!
//! ```text
//! journal  client#number  append    stream=id,id,…  [stream=id,id,…]…  .
//! journal  client#number  delete    stream  .
//! journal  client#number  archive   stream  .
//! journal  client#number  restore   stream  .
//! journal  client#number  truncate  stream  version  .
//! journal  client#number  done      position  version,version,…  .
//! journal  client#number  refused   .
//! ```

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use factum_core::store::{Append, Appended};
use factum_core::{EventId, Position, StreamId, Version};

/// What clients have asked for, and what they were answered. Clones are the same journal.
#[derive(Clone, Default)]
pub struct Journal {
    attempts: Arc<Mutex<HashMap<String, Attempt>>>,
    tell: Option<Tell>,
}

type Tell = Arc<dyn Fn(&str) + Send + Sync>;

impl Journal {
    /// A journal that says each line at once, for another process to [`hear`](Journal::hear).
    pub fn telling(tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { attempts: Arc::default(), tell: Some(Arc::new(tell)) }
    }

    /// Notes what the journal of another process says. Lines that are of none, or are cut off, are passed over: who was
    /// killed while he wrote one has not asked yet, or does not know the answer.
    pub fn hear(&self, line: &str) {
        let Some(fields) = line.strip_prefix("journal\t").and_then(|line| line.strip_suffix("\t.")) else {
            return;
        };
        let heard = fields.split_once('\t').and_then(|(key, said)| {
            let said = match said.parse().ok().map(Said::Began) {
                Some(said) => said,
                None => Said::Answered(said.parse().ok()?),
            };
            Some((key, said))
        });
        let (key, said) = heard.unwrap_or_else(|| panic!("{line:?} is no line of a journal"));
        self.note(key, said);
    }

    pub(super) fn begin(&self, key: &str, deed: Deed) {
        self.tell(&format!("journal\t{key}\t{deed}\t."));
        self.note(key, Said::Began(deed));
    }

    pub(super) fn answer(&self, key: &str, answer: Answer) {
        self.tell(&format!("journal\t{key}\t{answer}\t."));
        self.note(key, Said::Answered(answer));
    }

    pub(super) fn attempts(&self) -> Vec<Attempt> {
        self.locked().values().cloned().collect()
    }

    fn tell(&self, line: &str) {
        if let Some(tell) = &self.tell {
            tell(line);
        }
    }

    fn note(&self, key: &str, said: Said) {
        let mut attempts = self.locked();
        match said {
            Said::Began(deed) => {
                let other = attempts.insert(key.to_owned(), Attempt { deed, answer: None });
                assert!(other.is_none(), "{key} is there twice");
            }
            Said::Answered(answer) => {
                attempts.get_mut(key).expect("who is answered has asked").answer = Some(answer);
            }
        }
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<String, Attempt>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("attempts", &self.locked().len()).finish_non_exhaustive()
    }
}

enum Said {
    Began(Deed),
    Answered(Answer),
}

/// What somebody has asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) deed: Deed,
    /// `None`, if nobody knows what came of it.
    pub(super) answer: Option<Answer>,
}

impl Attempt {
    /// Whether the store may have done it.
    pub(super) fn may_be_done(&self) -> bool {
        self.answer != Some(Answer::Refused)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Append(Vec<(StreamId, Vec<EventId>)>),
    Delete(StreamId),
    Archive(StreamId),
    Restore(StreamId),
    Truncate(StreamId, Version),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Where, unless it was a truncation: the position of the last event, and the last version of each stream.
    Done(Position, Vec<Version>),
    Refused,
}

impl From<&Append> for Deed {
    fn from(append: &Append) -> Self {
        let ids = |events: &[factum_core::NewEvent]| events.iter().map(|event| event.id).collect();
        Self::Append(append.streams().iter().map(|part| (part.stream.clone(), ids(&part.events))).collect())
    }
}

impl From<&Appended> for Answer {
    fn from(appended: &Appended) -> Self {
        Self::Done(appended.position, appended.versions.clone())
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Append(parts) => {
                f.write_str("append")?;
                parts.iter().try_for_each(|(stream, ids)| write!(f, "\t{stream}={}", joined(ids)))
            }
            Self::Delete(stream) => write!(f, "delete\t{stream}"),
            Self::Archive(stream) => write!(f, "archive\t{stream}"),
            Self::Restore(stream) => write!(f, "restore\t{stream}"),
            Self::Truncate(stream, before) => write!(f, "truncate\t{stream}\t{before}"),
        }
    }
}

impl FromStr for Deed {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (verb, rest) = text.split_once('\t').ok_or(())?;
        let stream = || rest.parse().map_err(drop);
        match verb {
            "append" => {
                let part = |part: &str| {
                    let (stream, ids) = part.rsplit_once('=').ok_or(())?;
                    let ids = ids.split(',').map(|id| id.parse().map(EventId).map_err(drop));
                    Ok((stream.parse().map_err(drop)?, ids.collect::<Result<_, _>>()?))
                };
                rest.split('\t').map(part).collect::<Result<_, _>>().map(Self::Append)
            }
            "delete" => stream().map(Self::Delete),
            "archive" => stream().map(Self::Archive),
            "restore" => stream().map(Self::Restore),
            "truncate" => {
                let (stream, before) = rest.split_once('\t').ok_or(())?;
                let before = before.parse().map(Version).map_err(drop)?;
                Ok(Self::Truncate(stream.parse().map_err(drop)?, before))
            }
            _ => Err(()),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(position, versions) => write!(f, "done\t{position}\t{}", joined(versions)),
            Self::Refused => f.write_str("refused"),
        }
    }
}

impl FromStr for Answer {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text == "refused" {
            return Ok(Self::Refused);
        }
        let mut fields = text.strip_prefix("done\t").ok_or(())?.split('\t');
        let position = fields.next().and_then(|position| position.parse().ok()).ok_or(())?;
        let versions = fields.next().ok_or(())?.split(',').filter(|version| !version.is_empty());
        let versions = versions.map(|version| version.parse().map(Version).map_err(drop));
        Ok(Self::Done(Position(position), versions.collect::<Result<_, _>>()?))
    }
}

fn joined(items: &[impl fmt::Display]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_process_tells_another_hears() {
        let (lines, other) = (Arc::new(Mutex::new(Vec::<String>::new())), Journal::default());
        let told = Arc::clone(&lines);
        let own = Journal::telling(move |line| told.lock().expect("no panic").push(line.to_owned()));
        let stream = |id: &str| StreamId::new("order", id).expect("a name");
        let both =
            vec![(stream("a=b"), vec![EventId::new(), EventId::new()]), (stream("2"), vec![EventId::new()])];
        let deeds = [
            Deed::Append(both),
            Deed::Delete(stream("1")),
            Deed::Archive(stream("a/b")),
            Deed::Restore(stream("1")),
            Deed::Truncate(stream("1"), Version(3)),
            Deed::Delete(stream("unanswered")),
        ];
        for (number, deed) in deeds.into_iter().enumerate() {
            own.begin(&number.to_string(), deed);
        }
        own.answer("0", Answer::Done(Position(7), vec![Version(1), Version(2)]));
        own.answer("1", Answer::Refused);
        own.answer("4", Answer::Done(Position::START, Vec::new()));
        other.hear("running 1 test");
        for line in lines.lock().expect("no panic").iter() {
            other.hear(line);
        }
        assert_eq!(*own.locked(), *other.locked());
        let line = lines.lock().expect("no panic")[0].clone();
        let cut = Journal::default();
        for end in 0..line.len() {
            cut.hear(&line[..end]);
        }
        assert!(cut.locked().is_empty());
    }
}
