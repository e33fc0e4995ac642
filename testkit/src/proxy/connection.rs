//! A connection through a proxy: two threads that read, judge and write.

use std::{
    collections::HashMap,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use socket2::SockRef;

use super::{
    Shared,
    faults::Verdict,
    messages::{Messages, Request},
};

pub(super) struct Connection {
    client: TcpStream,
    /// Empty until the server has accepted.
    server: OnceLock<TcpStream>,
    /// Whether it was cut or reset.
    is_over: AtomicBool,
    /// Whether something was not forwarded, so that nothing is any more.
    has_lost: AtomicBool,
    dialogue: Mutex<Dialogue>,
}

/// How a connection ends before its ends want it to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// With a FIN to each end.
    Cut,
    /// With a RST.
    Reset,
}

/// Which answer belongs to which question: the server says after each that it is ready.
#[derive(Default)]
struct Dialogue {
    asked: u64,
    answered: u64,
    /// The answers that do not get through, by their number, and how the connection ends with them, if it does.
    swallowed: HashMap<u64, Option<Ending>>,
}

/// What a client has prepared: texts of statements by their name, and by the name of the portal that executes them.
#[derive(Default)]
struct Prepared {
    statements: HashMap<String, String>,
    portals: HashMap<String, String>,
}

impl Connection {
    pub(super) fn new(client: TcpStream) -> Self {
        Self {
            client,
            server: OnceLock::new(),
            is_over: AtomicBool::new(false),
            has_lost: AtomicBool::new(false),
            dialogue: Mutex::default(),
        }
    }

    /// Forwards until both ends are closed, or it is cut or reset.
    pub(super) fn run(&self, shared: &Shared) {
        if shared.faults.is_silent() {
            // Not even the server's name can be reached.
            self.has_lost.store(true, Ordering::SeqCst);
            return self.forward_requests(shared, None);
        }
        let Ok(server) = shared.connect() else { return self.end(Ending::Cut) };
        let server = self.server.get_or_init(|| server);
        // It may have been ended while there was no server to end it with.
        if self.is_over() {
            return;
        }
        // Messages are small, and waiting for more of them would be a fault that nobody asked for.
        let _ = self.client.set_nodelay(true);
        let _ = server.set_nodelay(true);
        thread::scope(|scope| {
            scope.spawn(|| self.forward_answers(shared, server));
            self.forward_requests(shared, Some(server));
        });
    }

    /// The first ending counts: what was reset is not closed in an orderly way before the reset has gone out.
    pub(super) fn end(&self, how: Ending) {
        if self.is_over.swap(true, Ordering::SeqCst) {
            return;
        }
        for end in [Some(&self.client), self.server.get()].into_iter().flatten() {
            // It may be closed already.
            let _ = match how {
                Ending::Cut => end.shutdown(Shutdown::Both),
                // A RST goes out when the socket is closed, which it is when both threads have let go of it. To stop reading
                // makes them, and is told to nobody.
                Ending::Reset => SockRef::from(end)
                    .set_linger(Some(Duration::ZERO))
                    .and_then(|()| end.shutdown(Shutdown::Read)),
            };
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    fn forward_requests(&self, shared: &Shared, server: Option<&TcpStream>) {
        let mut messages = Messages::of_client();
        let mut prepared = Prepared::default();
        // What comes when all is forwarded that is asked for.
        let mut ending = None;
        self.forward(shared, &self.client, server, |bytes, forwarded| {
            messages.push(bytes);
            while let Some(message) = messages.next() {
                let request = message.request();
                if request == Request::Tls {
                    (&self.client).write_all(b"N").map_err(|_| Ending::Cut)?;
                    continue;
                }
                match shared.faults.judge(&request, prepared.executed_by(&request)) {
                    Verdict::Forward => {}
                    Verdict::Swallow => self.lock_dialogue().swallow_next(None),
                    Verdict::EndAfter(how) => self.lock_dialogue().swallow_next(Some(how)),
                    Verdict::EndDuring(how) => {
                        // Not even if it is there at once.
                        self.lock_dialogue().swallow_next(Some(how));
                        ending = Some(how);
                    }
                    Verdict::CutBefore => return Err(Ending::Cut),
                }
                prepared.learn(&request);
                let is_asked = self.lock_dialogue().hear(&request);
                forwarded.extend_from_slice(&message.bytes);
                if let Some(how) = ending.filter(|_| is_asked) {
                    return Err(how);
                }
            }
            Ok(())
        });
    }

    fn forward_answers(&self, shared: &Shared, server: &TcpStream) {
        let mut messages = Messages::of_server();
        self.forward(shared, server, Some(&self.client), |bytes, forwarded| {
            messages.push(bytes);
            while let Some(message) = messages.next() {
                match self.lock_dialogue().answer(message.is_ready_for_query()) {
                    Answer::Forward => forwarded.extend_from_slice(&message.bytes),
                    Answer::Swallow => {}
                    Answer::End(how) => return Err(how),
                }
            }
            Ok(())
        });
    }

    /// Forwards what `pick` lets through from one end to the other. An error of `pick` ends the connection.
    fn forward(
        &self,
        shared: &Shared,
        mut from: &TcpStream,
        to: Option<&TcpStream>,
        mut pick: impl FnMut(&[u8], &mut Vec<u8>) -> Result<(), Ending>,
    ) {
        let (mut buffer, mut forwarded) = (vec![0; 1 << 16], Vec::new());
        loop {
            // A reset is an end as well.
            let count = from.read(&mut buffer).unwrap_or(0);
            shared.faults.wait_out_delay(self);
            if self.is_over() {
                break;
            }
            if shared.faults.is_silent() {
                self.has_lost.store(true, Ordering::SeqCst);
            }
            match to {
                Some(mut to) if !self.has_lost.load(Ordering::SeqCst) => {
                    if count == 0 {
                        // The other direction may go on.
                        let _ = to.shutdown(Shutdown::Write);
                        break;
                    }
                    forwarded.clear();
                    let picked = pick(&buffer[..count], &mut forwarded);
                    let written = to.write_all(&forwarded).map_err(|_| Ending::Cut);
                    if let Err(how) = picked.and(written) {
                        self.end(how);
                        break shared.faults.wake();
                    }
                }
                // Lost, also that it has ended.
                _ if count == 0 => break shared.faults.wait_for_end(self),
                _ => {}
            }
        }
    }

    fn lock_dialogue(&self) -> MutexGuard<'_, Dialogue> {
        self.dialogue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What to do with a message of the server.
enum Answer {
    Forward,
    Swallow,
    End(Ending),
}

impl Dialogue {
    /// Whether the server answers now.
    fn hear(&mut self, request: &Request<'_>) -> bool {
        let is_asked = matches!(
            request,
            Request::Startup | Request::Query { .. } | Request::Sync | Request::FunctionCall
        );
        self.asked += u64::from(is_asked);
        is_asked
    }

    /// The answer to what is asked next does not get through. For an execution that is what the next sync asks for.
    fn swallow_next(&mut self, and_end: Option<Ending>) {
        let ending = self.swallowed.entry(self.asked + 1).or_default();
        *ending = ending.or(and_end);
    }

    fn answer(&mut self, is_its_end: bool) -> Answer {
        let swallowed = self.swallowed.get(&(self.answered + 1)).copied();
        self.answered += u64::from(is_its_end);
        match swallowed {
            None => Answer::Forward,
            Some(Some(how)) if is_its_end => Answer::End(how),
            Some(_) => Answer::Swallow,
        }
    }
}

impl Prepared {
    fn learn(&mut self, request: &Request<'_>) {
        match request {
            Request::Parse { name, statement } => {
                self.statements.insert((*name).to_owned(), (*statement).to_owned());
            }
            Request::Bind { portal, name } => {
                let statement = self.statements.get(*name).cloned().unwrap_or_default();
                self.portals.insert((*portal).to_owned(), statement);
            }
            _ => {}
        }
    }

    fn executed_by<'a>(&'a self, request: &Request<'a>) -> Option<&'a str> {
        match request {
            Request::Query { statement } => Some(statement),
            Request::Execute { portal } => self.portals.get(*portal).map(String::as_str),
            _ => None,
        }
    }
}
