//! A connection through a proxy: two threads that read, judge and write.

use std::{
    collections::HashMap,
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::{
    Shared,
    faults::Verdict,
    messages::{Messages, Request},
};

pub(super) struct Connection {
    client: TcpStream,
    /// Empty until the server has accepted.
    server: OnceLock<TcpStream>,
    is_cut: AtomicBool,
    /// Whether something was not forwarded, so that nothing is any more.
    has_lost: AtomicBool,
    dialogue: Mutex<Dialogue>,
}

/// Which answer belongs to which question: the server says after each that it is ready.
#[derive(Default)]
struct Dialogue {
    asked: u64,
    answered: u64,
    /// The answers that do not get through, by their number, and whether the connection ends with them.
    swallowed: HashMap<u64, bool>,
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
            is_cut: AtomicBool::new(false),
            has_lost: AtomicBool::new(false),
            dialogue: Mutex::default(),
        }
    }

    /// Forwards until both ends are closed, or it is cut.
    pub(super) fn run(&self, shared: &Shared) {
        if shared.faults.is_silent() {
            // Not even the server's name can be reached.
            self.has_lost.store(true, Ordering::SeqCst);
            return self.forward_requests(shared, None);
        }
        let Ok(server) = shared.connect() else { return self.cut() };
        let server = self.server.get_or_init(|| server);
        // It may have been cut while there was no server to cut off.
        if self.is_cut() {
            return self.cut();
        }
        // Messages are small, and waiting for more of them would be a fault that nobody asked for.
        let _ = self.client.set_nodelay(true);
        let _ = server.set_nodelay(true);
        thread::scope(|scope| {
            scope.spawn(|| self.forward_answers(shared, server));
            self.forward_requests(shared, Some(server));
        });
    }

    pub(super) fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        for end in [Some(&self.client), self.server.get()].into_iter().flatten() {
            // It may be closed already.
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    pub(super) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::SeqCst)
    }

    fn forward_requests(&self, shared: &Shared, server: Option<&TcpStream>) {
        let mut messages = Messages::of_client();
        let mut prepared = Prepared::default();
        self.forward(shared, &self.client, server, |bytes, forwarded| {
            messages.push(bytes);
            while let Some(message) = messages.next() {
                let request = message.request();
                if request == Request::Tls {
                    (&self.client).write_all(b"N")?;
                    continue;
                }
                match shared.faults.judge(&request, prepared.executed_by(&request)) {
                    Verdict::Forward => {}
                    Verdict::Swallow => self.lock_dialogue().swallow_next(false),
                    Verdict::CutAfter => self.lock_dialogue().swallow_next(true),
                    Verdict::CutBefore => return Err(io::ErrorKind::ConnectionAborted.into()),
                }
                prepared.learn(&request);
                self.lock_dialogue().hear(&request);
                forwarded.extend_from_slice(&message.bytes);
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
                    Answer::Cut => return Err(io::ErrorKind::ConnectionAborted.into()),
                }
            }
            Ok(())
        });
    }

    /// Forwards what `pick` lets through from one end to the other. An error of `pick` cuts the connection.
    fn forward(
        &self,
        shared: &Shared,
        mut from: &TcpStream,
        to: Option<&TcpStream>,
        mut pick: impl FnMut(&[u8], &mut Vec<u8>) -> io::Result<()>,
    ) {
        let (mut buffer, mut forwarded) = (vec![0; 1 << 16], Vec::new());
        loop {
            // A reset is an end as well.
            let count = from.read(&mut buffer).unwrap_or(0);
            shared.faults.wait_out_delay(self);
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
                    if to.write_all(&forwarded).is_err() || picked.is_err() {
                        self.cut();
                        break shared.faults.wake();
                    }
                }
                // Lost, also that it has ended.
                _ if count == 0 => break shared.faults.wait_for_cut(self),
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
    Cut,
}

impl Dialogue {
    fn hear(&mut self, request: &Request<'_>) {
        if matches!(request, Request::Startup | Request::Query { .. } | Request::Sync | Request::FunctionCall)
        {
            self.asked += 1;
        }
    }

    /// The answer to what is asked next does not get through. For an execution that is what the next sync asks for.
    fn swallow_next(&mut self, and_cut: bool) {
        *self.swallowed.entry(self.asked + 1).or_default() |= and_cut;
    }

    fn answer(&mut self, is_its_end: bool) -> Answer {
        let swallowed = self.swallowed.get(&(self.answered + 1)).copied();
        self.answered += u64::from(is_its_end);
        match swallowed {
            None => Answer::Forward,
            Some(true) if is_its_end => Answer::Cut,
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
