//! Follows the log from its checkpoint, and notes what it sees before it moves on.

use std::time::Duration;

use factum_core::store::{Page, ReadAll};
use factum_core::{Checkpoint, StoreError, StoreErrorKind};

use crate::clock::Clock;
use crate::dice::Dice;
use crate::follower::Follower;
use crate::life::{self, Life, Stop};
use crate::note::{Note, Notebook, Seen, Trouble};
use crate::target::Target;

/// Follows until it is told to stop.
pub(crate) async fn follow<T: Target>(address: &str, follower: Follower, life: Life) -> anyhow::Result<()> {
    let mut stop = Stop::at_end_of_input();
    let path = life.folder.join(format!("subscriber-{}.{}.notes", follower.name(), life.nth));
    let notes = Notebook::create(&path)?;
    let whose = u64::from(follower.name().as_bytes()[0]);
    let mut dice = Dice::new(life.seed, &[1, whose, life.nth]);
    let Some(store) = life::open::<T>(address, &mut dice, &mut stop).await? else { return Ok(()) };
    Reader { store: store.clone(), follower, notes, clock: Clock::of_machine()?, dice, stop }.run().await?;
    store.close().await;
    Ok(())
}

struct Reader<T> {
    store: T,
    follower: Follower,
    notes: Notebook,
    clock: Clock,
    dice: Dice,
    stop: Stop,
}

impl<T: Target> Reader<T> {
    async fn run(&mut self) -> anyhow::Result<()> {
        while !self.stop.is_told() {
            let Err(error) = self.read_on().await? else { continue };
            // A move that was given up may still arrive, so that the checkpoint is further than it was read.
            if !matches!(error.kind(), StoreErrorKind::CheckpointMoved { .. }) {
                let trouble = Trouble::new(self.clock.nanoseconds(), "follow", &error);
                self.notes.write([Note::Error(trouble)])?;
            }
            self.stop.sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// From the checkpoint on, until the store fails or the run ends.
    async fn read_on(&mut self) -> anyhow::Result<Result<(), StoreError>> {
        let mut checkpoint = match self.store.checkpoint(self.follower.name()).await {
            Ok(checkpoint) => checkpoint,
            Err(error) => return Ok(Err(error)),
        };
        self.notes.write([Note::Resumed(checkpoint.position)])?;
        life::tell(&[checkpoint.position.0]);
        while !self.stop.is_told() {
            // Small pages, now and then, so that checkpoints are everywhere.
            let limit = if self.dice.once_in(3) { 1 + self.dice.index(10) } else { 200 };
            let read = ReadAll::after(checkpoint).filter(self.follower.filter()).limit(limit).following();
            let page = match self.store.read_all(read).await {
                Ok(page) => page,
                Err(error) => return Ok(Err(error)),
            };
            let (to, is_end) = (page.checkpoint, page.end);
            // An empty page does not say which event it stands at.
            if to.position != checkpoint.position {
                self.notes.write(page.events.iter().map(|event| Note::Saw(Seen::from(event))))?;
                self.notes.write([Note::Moving { from: checkpoint.position, to: to.position }])?;
                if let Err(error) = self.advance(checkpoint, page).await {
                    if *error.kind() != StoreErrorKind::OutcomeUnknown {
                        self.notes.write([Note::Refused])?;
                    }
                    return Ok(Err(error));
                }
                self.notes.write([Note::Moved])?;
                checkpoint = to;
                life::tell(&[checkpoint.position.0]);
            }
            if is_end {
                let mut stop = self.stop.clone();
                tokio::select! {
                    waited = self.store.wait(checkpoint.position) => if let Err(error) = waited {
                        return Ok(Err(error));
                    },
                    () = stop.told() => {}
                }
            }
        }
        Ok(Ok(()))
    }

    async fn advance(&mut self, from: Checkpoint, page: Page) -> Result<(), StoreError> {
        let (name, to) = (self.follower.name(), page.checkpoint);
        if !self.follower.is_exact() {
            return self.store.move_checkpoint(name, from, to).await;
        }
        let mut tx = self.store.begin().await?;
        if !page.events.is_empty() {
            self.store.project(&mut tx, &page.events).await?;
        }
        // Time to be killed in.
        if self.dice.once_in(10) {
            tokio::time::sleep(self.dice.millis(1, 20)).await;
        }
        self.store.commit_with_checkpoint(tx, name, from, to).await
    }
}
