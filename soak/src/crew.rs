//! The processes of a run: begun, killed, begun again, and brought to their end.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::dice::Dice;
use crate::life::ADDRESS;

/// What a process is for.
pub(crate) trait Part: Copy + Ord + fmt::Debug + Send + 'static {
    /// What its files are named after.
    fn name(self) -> String;
}

/// The numbers that each process has said last.
pub(crate) type Said<R> = BTreeMap<(R, u64), Vec<u64>>;

/// Adds what a process is told to do, in which of its lives.
type Order<R> = Box<dyn Fn(R, u64, &mut Command) + Send>;

pub(crate) struct Crew<R> {
    /// Where what they complain of goes.
    folder: PathBuf,
    address: String,
    order: Order<R>,
    members: Vec<Member<R>>,
    /// How many processes have had this place.
    lives: BTreeMap<R, u64>,
    board: Arc<Mutex<Said<R>>>,
}

#[derive(Debug)]
struct Member<R> {
    role: R,
    life: u64,
    /// Its input is open until it is to stop.
    child: Child,
}

impl<R: Part> Crew<R> {
    pub(crate) fn new(
        folder: &Path,
        address: String,
        order: impl Fn(R, u64, &mut Command) + Send + 'static,
    ) -> Self {
        let (members, lives, board) = Default::default();
        Self { folder: folder.to_owned(), address, order: Box::new(order), members, lives, board }
    }

    /// And these.
    pub(crate) fn begin(&mut self, roles: impl IntoIterator<Item = R>) -> anyhow::Result<()> {
        for role in roles {
            let member = self.begin_process(role)?;
            self.members.push(member);
        }
        Ok(())
    }

    /// Whether there is one of those.
    pub(crate) fn has(&self, who: impl Fn(R) -> bool) -> bool {
        self.members.iter().any(|member| who(member.role))
    }

    /// What all of them have said last, also those that are gone.
    pub(crate) fn said(&self) -> Said<R> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What this one has said last, in the life it has now.
    pub(crate) fn said_by(&self, role: R) -> Vec<u64> {
        let member = self.members.iter().find(|member| member.role == role);
        let board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        member.and_then(|member| board.get(&(role, member.life))).cloned().unwrap_or_default()
    }

    /// Kills one of those, and begins another in its place. Says who it was.
    pub(crate) fn replace_any(&mut self, who: impl Fn(R) -> bool, dice: &mut Dice) -> anyhow::Result<String> {
        let role = self.any(who, dice);
        let life = self.replace(role)?;
        Ok(format!("{}.{life}", role.name()))
    }

    /// Kills this one, and begins another in its place. Says which of its lives has ended.
    pub(crate) fn replace(&mut self, role: R) -> anyhow::Result<u64> {
        let at = self.place_of(role)?;
        let Member { life, child, .. } = &mut self.members[at];
        child.kill()?;
        let (status, life) = (child.wait()?, *life);
        // It was about to be killed, and was faster: that would be overlooked.
        if status.signal().is_none() {
            let name = format!("{}.{life}", role.name());
            anyhow::bail!("{name} has ended by itself, with {status}{}", last_words(&self.folder, &name));
        }
        self.members[at] = self.begin_process(role)?;
        Ok(life)
    }

    /// The process of this one, and its name.
    pub(crate) fn pid_of(&self, role: R) -> anyhow::Result<(u32, String)> {
        let Member { role, life, child } = &self.members[self.place_of(role)?];
        Ok((child.id(), format!("{}.{life}", role.name())))
    }

    fn place_of(&self, role: R) -> anyhow::Result<usize> {
        let place = self.members.iter().position(|member| member.role == role);
        place.with_context(|| format!("there is no {}", role.name()))
    }

    /// What those said last who have ended by themselves, if any have.
    pub(crate) fn look(&mut self) -> anyhow::Result<Option<String>> {
        for Member { role, life, child } in &mut self.members {
            if let Some(status) = child.try_wait()? {
                let name = format!("{}.{life}", role.name());
                return Ok(Some(format!(
                    "{name} has ended by itself, with {status}{}",
                    last_words(&self.folder, &name)
                )));
            }
        }
        Ok(None)
    }

    /// Tells those to stop, and waits until they have. Says who has not, or not well.
    pub(crate) fn stop(
        &mut self,
        who: impl Fn(R) -> bool,
        patience: Duration,
    ) -> anyhow::Result<Option<String>> {
        let (mut stopping, others): (Vec<_>, Vec<_>) =
            self.members.drain(..).partition(|member| who(member.role));
        self.members = others;
        for member in &mut stopping {
            drop(member.child.stdin.take());
        }
        let deadline = Instant::now() + patience;
        let mut said = None;
        for Member { role, life, child } in &mut stopping {
            let name = format!("{}.{life}", role.name());
            let status = loop {
                match child.try_wait()? {
                    None if Instant::now() < deadline => thread::sleep(Duration::from_millis(10)),
                    status => break status,
                }
            };
            let how = match status {
                Some(status) if status.success() => continue,
                Some(status) => format!("ended with {status}"),
                None => {
                    child.kill()?;
                    child.wait()?;
                    format!("did not come to its end within {patience:?}")
                }
            };
            said.get_or_insert(format!("{name} {how}{}", last_words(&self.folder, &name)));
        }
        Ok(said)
    }

    /// One of those that have had the fewest lives, so that all come to their turn.
    pub(crate) fn any(&self, who: impl Fn(R) -> bool, dice: &mut Dice) -> R {
        let all: Vec<_> = self.members.iter().filter(|member| who(member.role)).collect();
        let fewest = all.iter().map(|member| member.life).min();
        let next: Vec<_> = all.into_iter().filter(|member| Some(member.life) == fewest).collect();
        dice.pick(&next).role
    }

    fn begin_process(&mut self, role: R) -> anyhow::Result<Member<R>> {
        let life = self.lives.get(&role).map_or(1, |lives| lives + 1);
        self.lives.insert(role, life);
        let mut command = Command::new(std::env::current_exe()?);
        (self.order)(role, life, &mut command);
        command.env(ADDRESS, &self.address);
        let stderr = self.folder.join(format!("{}.{life}.stderr", role.name()));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(stderr)?)
            .spawn()
            .context("cannot begin a process")?;
        let said = child.stdout.take().expect("it is piped");
        let board = Arc::clone(&self.board);
        thread::spawn(move || listen(said, &board, (role, life)));
        Ok(Member { role, life, child })
    }
}

impl<R> Drop for Crew<R> {
    /// Only after an error are there any left.
    fn drop(&mut self) {
        for Member { child, .. } in &mut self.members {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Puts on the board what a process says, until it has ended.
fn listen<R: Part>(said: ChildStdout, board: &Mutex<Said<R>>, who: (R, u64)) {
    for line in BufReader::new(said).lines().map_while(Result::ok) {
        let numbers = line.split(' ').filter_map(|number| number.parse().ok()).collect();
        board.lock().unwrap_or_else(PoisonError::into_inner).insert(who, numbers);
    }
}

fn last_words(folder: &Path, name: &str) -> String {
    let words = fs::read_to_string(folder.join(format!("{name}.stderr"))).unwrap_or_default();
    if words.trim().is_empty() { String::new() } else { format!(": {}", words.trim()) }
}
