//! Looks whether everything is there that was acknowledged until now, while a run goes on.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use factum_conformance::history::{Answer, Answered, History, Operation, Part, Request};
use factum_core::transfer::{Place, Record, Transfer};
use factum_core::{EventId, Position, StoreError, StreamId, Version};

use crate::check;
use crate::life::REST_MAX;
use crate::worker::HISTORIES;

/// How many records are read at a time, and how many bytes of them.
const PAGE: (usize, usize) = (5_000, 8 << 20);

/// What was acknowledged, as the files of the clients tell, which are read on each time.
#[derive(Debug)]
pub(crate) struct Lookout {
    folder: PathBuf,
    read: BTreeMap<PathBuf, ReadUntil>,
    acknowledged: HashMap<EventId, Told>,
    /// The last position that anybody was told.
    end: Position,
}

/// How far a file was read.
#[derive(Debug, Default)]
struct ReadUntil {
    bytes: u64,
    /// The lines of what had begun and was not answered.
    open: String,
}

/// Where an event is, as a client was told.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    stream: StreamId,
    version: Version,
    /// The last event of an append is told its position.
    position: Option<Position>,
}

impl Lookout {
    pub(crate) fn new(folder: &Path) -> Self {
        let (read, acknowledged, end) = Default::default();
        Self { folder: folder.to_owned(), read, acknowledged, end }
    }

    /// Looks for every event of every append that was acknowledged before this call: how many there are, or what is
    /// wrong.
    pub(crate) async fn look(&mut self, store: &impl Transfer) -> anyhow::Result<Result<usize, String>> {
        self.learn()?;
        let mut missing: HashSet<EventId> = self.acknowledged.keys().copied().collect();
        let mut after = Position::START;
        let deadline = Instant::now() + REST_MAX;
        // Others go on appending, so the end is not waited for.
        while after < self.end {
            let page = match store.read_records(after, PAGE.0, PAGE.1).await {
                Ok(page) => page,
                Err(error) if error.is_transient() && Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
                Err(error) => return Ok(Err(cannot_read(&error))),
            };
            let Some(last) = page.last() else { break };
            after = last.position();
            for record in &page {
                let (id, there) = place(record);
                let Some(told) = self.acknowledged.get(&id) else { continue };
                if !told.is(&there) {
                    return Ok(Err(format!("event {id} was acknowledged as {told}, and is now {there}")));
                }
                missing.remove(&id);
            }
        }
        let Some(id) = missing.iter().min() else { return Ok(Ok(self.acknowledged.len())) };
        let (all, lost, told) = (self.acknowledged.len(), missing.len(), &self.acknowledged[id]);
        Ok(Err(format!("of {all} events that were acknowledged {lost} are not there: {id}, {told}")))
    }

    /// Reads on what the clients have written since.
    fn learn(&mut self) -> anyhow::Result<()> {
        let files = HISTORIES.map(|what| check::files(&self.folder, what, "history"));
        for (_, path) in files.into_iter().collect::<anyhow::Result<Vec<_>>>()?.concat() {
            let until = self.read.entry(path.clone()).or_default();
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(until.bytes))?;
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            // The rest is being written.
            let whole = text.rfind('\n').map_or(0, |end| end + 1);
            until.bytes += u64::try_from(whole)?;
            let text = format!("{}{}", until.open, &text[..whole]);
            until.open.clear();
            let history: History = text.parse().with_context(|| format!("in {}", path.display()))?;
            for operation in history.operations {
                if operation.answered.is_none() {
                    writeln!(until.open, "{operation}").expect("a string takes any text");
                }
                note(&operation, &mut self.acknowledged, &mut self.end);
            }
        }
        Ok(())
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {} of {}", self.version, self.stream)?;
        self.position.map_or(Ok(()), |position| write!(f, " at position {position}"))
    }
}

impl Told {
    fn is(&self, there: &Self) -> bool {
        self.stream == there.stream
            && self.version == there.version
            && (self.position.is_none() || self.position == there.position)
    }
}

/// Adds what an answer tells.
fn note(operation: &Operation, acknowledged: &mut HashMap<EventId, Told>, end: &mut Position) {
    let Operation { request: Request::Append(parts), answered: Some(Answered { answer, .. }), .. } =
        operation
    else {
        return;
    };
    let Answer::Appended { position, versions } = answer else { return };
    *end = (*end).max(*position);
    let last = parts.iter().flat_map(|part| &part.ids).next_back();
    for (Part { stream, ids, .. }, version) in parts.iter().zip(versions) {
        for (id, before_last) in ids.iter().zip((0..ids.len() as u64).rev()) {
            let version = Version(version.0.saturating_sub(before_last));
            let position = (Some(id) == last).then_some(*position);
            acknowledged.insert(*id, Told { stream: stream.clone(), version, position });
        }
    }
}

/// Also of an event that was erased.
fn place(record: &Record) -> (EventId, Told) {
    let (id, stream, version, position) = match record {
        Record::Live(event) | Record::Archived(event) => {
            (event.id, &event.stream, event.version, event.position)
        }
        Record::Erased(Place { id, stream, version, position, .. }) => (*id, stream, *version, *position),
    };
    (id, Told { stream: stream.clone(), version, position: Some(position) })
}

fn cannot_read(error: &StoreError) -> String {
    format!("what was acknowledged cannot be looked for: {error:?}")
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write as _;

    use factum_conformance::history::Recorder;
    use factum_core::Expected;
    use factum_core::store::Append;
    use factum_core::transfer::Transfer as _;
    use factum_memory::MemoryStore;

    use super::*;
    use crate::content;

    /// A store, a client that writes down what it is told, and somebody who looks.
    async fn given() -> (MemoryStore, tempfile::TempDir, Lookout) {
        let (store, folder) = (MemoryStore::new(), tempfile::tempdir().unwrap());
        let file = File::create_new(folder.path().join("worker-1.1.history")).unwrap();
        let recorder = Recorder::new("worker-1.1").writing(file);
        for (stream, events) in [("a/1", 2), ("a/2", 1), ("a/1", 3)] {
            let events = (0..events).map(|_| content::event(EventId::new())).collect();
            let append = Append::to(stream.parse().unwrap(), Expected::Any, events);
            recorder.append(&store, append).await.unwrap();
        }
        let lookout = Lookout::new(folder.path());
        (store, folder, lookout)
    }

    /// The same store, without the last so many of its events, and with `change` made to the others.
    async fn copy(store: &MemoryStore, without: usize, change: impl Fn(&mut Record)) -> MemoryStore {
        let mut records = store.read_records(Position::START, 100, usize::MAX).await.unwrap();
        records.truncate(records.len() - without);
        records.iter_mut().for_each(change);
        let copy = MemoryStore::new();
        let mut import = copy.begin_import().await.unwrap();
        import.write(records).await.unwrap();
        import.finish().await.unwrap();
        copy
    }

    #[tokio::test]
    async fn what_was_acknowledged_is_found_also_by_who_has_read_a_part_before() {
        let (store, folder, mut lookout) = given().await;
        let path = folder.path().join("worker-1.1.history");
        let text = std::fs::read_to_string(&path).unwrap();
        // Cut anywhere, also within a line.
        for cut in 0..text.len() {
            std::fs::write(&path, &text[..cut]).unwrap();
            let mut lookout = Lookout::new(folder.path());
            let before = lookout.look(&store).await.unwrap().unwrap();
            assert!(before <= 5, "the last answer is not there");
            let mut file = OpenOptions::new().append(true).open(&path).unwrap();
            file.write_all(&text.as_bytes()[cut..]).unwrap();
            assert_eq!(lookout.look(&store).await.unwrap(), Ok(6));
        }
        assert_eq!(lookout.look(&store).await.unwrap(), Ok(6));
    }

    #[tokio::test]
    async fn an_event_that_is_lost_is_told() {
        let (store, _folder, mut lookout) = given().await;
        assert_eq!(lookout.look(&copy(&store, 0, |_| {}).await).await.unwrap(), Ok(6));
        for lost in 1..=6 {
            let said = lookout.look(&copy(&store, lost, |_| {}).await).await.unwrap().unwrap_err();
            assert!(
                said.contains(&format!("of 6 events that were acknowledged {lost} are not there")),
                "{said}"
            );
        }
    }

    #[tokio::test]
    async fn an_event_that_is_elsewhere_is_told() {
        let (store, _folder, mut lookout) = given().await;
        let elsewhere = |record: &mut Record| {
            if let Record::Live(event) = record
                && event.stream.as_str() == "a/2"
            {
                event.stream = "a/3".parse().unwrap();
            }
        };
        let later = |record: &mut Record| {
            if let Record::Live(event) = record {
                event.position.0 += 1;
            }
        };
        lookout.look(&copy(&store, 0, elsewhere).await).await.unwrap().unwrap_err();
        lookout.look(&copy(&store, 0, later).await).await.unwrap().unwrap_err();
    }

    #[tokio::test]
    async fn what_was_erased_keeps_its_place() {
        use factum_core::retention::Retention as _;
        let (store, _folder, mut lookout) = given().await;
        store.delete_stream(&"a/1".parse().unwrap(), Expected::Any).await.unwrap();
        assert_eq!(lookout.look(&store).await.unwrap(), Ok(6));
    }
}
