//! Notes what clients do, as they do it.

use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use factum_core::store::{Append, Appended, ReadStream};
use factum_core::{AppendError, EventStore, RecordedEvent, StoreError, StoreErrorKind, StreamId, Version};

use super::{Answer, Answered, History, Operation, Request, lines};

/// Notes operations and their times. Clones write to the same history: give one to every client.
///
/// An operation whose future is dropped stays without an answer, and so does that of a client that is killed, if its
/// recorder [writes](Recorder::writing) to somewhere that outlives it.
#[derive(Clone)]
pub struct Recorder {
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    clock: Box<dyn Fn() -> u64 + Send + Sync>,
    noted: Mutex<Noted>,
}

#[derive(Default)]
struct Noted {
    operations: Vec<Operation>,
    sink: Option<Box<dyn Write + Send>>,
}

/// An operation that has begun. Dropped, it stays without an answer.
#[derive(Debug)]
#[must_use = "an operation without an answer may have happened or not"]
pub struct Pending {
    recorder: Recorder,
    at: usize,
}

impl Recorder {
    /// A recorder for clients in this process, with a clock of its own.
    ///
    /// # Panics
    ///
    /// If the name has control characters.
    pub fn new(name: &str) -> Self {
        let start = Instant::now();
        Self::with_clock(name, move || {
            // In 584 years.
            u64::try_from(start.elapsed().as_nanos()).expect("the clock does not run over")
        })
    }

    /// A recorder whose times are those of `clock`, in nanoseconds.
    ///
    /// Histories that are to be checked together need one clock: one that never goes back, such as the time since the
    /// machine was started, or since an epoch where nobody sets the time meanwhile. And they need different names.
    ///
    /// # Panics
    ///
    /// If the name has control characters.
    pub fn with_clock(name: &str, clock: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        assert!(!name.chars().any(char::is_control), "{name:?} cannot be written in a line");
        let noted = Mutex::default();
        Self { shared: Arc::new(Shared { name: name.to_owned(), clock: Box::new(clock), noted }) }
    }

    /// The same, and each beginning and each answer is a line that is written at once, and the beginning before
    /// anything is asked. [`History`] reads the lines.
    pub fn writing(self, sink: impl Write + Send + 'static) -> Self {
        self.noted().sink = Some(Box::new(sink));
        self
    }

    /// Appends, and notes it.
    ///
    /// # Errors
    ///
    /// What the store answers.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future notes that the outcome is not known.
    pub async fn append<S>(&self, store: &S, append: Append) -> Result<Appended, AppendError>
    where
        S: EventStore + ?Sized,
    {
        let pending = self.begin(Request::from(&append));
        let outcome = store.append(append).await;
        if let Some(answer) = answer_of(&outcome) {
            pending.answer(answer);
        }
        outcome
    }

    /// Reads a whole stream, and notes it. If the stream grows between pages, they still join to what it was at the
    /// last.
    ///
    /// # Errors
    ///
    /// What the store answers.
    ///
    /// # Panics
    ///
    /// If a page is neither the end nor goes further.
    ///
    /// # Cancel safety
    ///
    /// Reading changes nothing.
    pub async fn read<S>(&self, store: &S, stream: &StreamId) -> Result<Vec<RecordedEvent>, StoreError>
    where
        S: EventStore + ?Sized,
    {
        let pending = self.begin(Request::Read(stream.clone()));
        let (mut after, mut events) = (Version::NONE, Vec::new());
        loop {
            let page = store.read_stream(ReadStream::new(stream.clone()).after(after)).await?;
            let last = page.events.last().map(|event| event.version);
            events.extend(page.events);
            if page.end {
                break;
            }
            assert!(last > Some(after), "the page after version {after} of {stream} goes nowhere");
            after = last.unwrap_or_default();
        }
        pending.answer(Answer::Read(
            events.iter().map(|event: &RecordedEvent| (event.id, event.version)).collect(),
        ));
        Ok(events)
    }

    /// Notes that an operation begins now: for whoever asks a store in other ways than [`append`](Recorder::append) and
    /// [`read`](Recorder::read) do.
    pub fn begin(&self, request: Request) -> Pending {
        let invoked = (self.shared.clock)();
        let mut noted = self.noted();
        let number = u64::try_from(noted.operations.len()).expect("a number of things in memory");
        let client = self.shared.name.clone();
        let operation = Operation { client, number, invoked, request, answered: None };
        noted.write(|| lines::beginning(&operation));
        noted.operations.push(operation);
        let at = noted.operations.len() - 1;
        Pending { recorder: self.clone(), at }
    }

    /// What was noted until now. What still goes on has no answer.
    pub fn history(&self) -> History {
        History { operations: self.noted().operations.clone() }
    }

    /// What is noted is whole after every statement, so a panic elsewhere does not spoil it.
    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.shared.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    /// Notes that the operation is answered now. An unknown outcome is none: drop this instead.
    pub fn answer(self, answer: Answer) {
        let at = (self.recorder.shared.clock)();
        let mut noted = self.recorder.noted();
        let operation = &mut noted.operations[self.at];
        operation.answered = Some(Answered { at, answer });
        let line = lines::answer(operation);
        noted.write(|| line);
    }
}

impl Noted {
    fn write(&mut self, line: impl FnOnce() -> String) {
        if let Some(sink) = &mut self.sink {
            let line = format!("{}\n", line());
            sink.write_all(line.as_bytes()).and_then(|()| sink.flush()).expect("a history can be written");
        }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

/// What the outcome of an append says, if it says anything.
fn answer_of(outcome: &Result<Appended, AppendError>) -> Option<Answer> {
    Some(match outcome {
        Ok(Appended { position, versions, .. }) => {
            Answer::Appended { position: *position, versions: versions.clone() }
        }
        Err(AppendError::Conflict(conflict)) => Answer::Conflict(conflict.clone()),
        Err(AppendError::IdReused(reused)) => Answer::IdReused(reused.clone()),
        Err(AppendError::Store(error)) if *error.kind() == StoreErrorKind::OutcomeUnknown => return None,
        // Only an unknown outcome leaves open whether the append happened.
        Err(_) => Answer::Refused,
    })
}
