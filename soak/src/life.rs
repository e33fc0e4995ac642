//! What the processes of a run have in common: they say how far they are, and end when they are told.

use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use factum_core::StoreError;
use tokio::sync::watch;

use crate::dice::Dice;
use crate::target::Target;

/// Where the address of the store is told: an argument would show its password to everybody.
pub(crate) const ADDRESS: &str = "FACTUM_SOAK_ADDRESS";

/// One process of a run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Life {
    /// Where the files of the run are.
    #[arg(long)]
    pub(crate) folder: PathBuf,
    /// How many processes have had this place, with this one.
    #[arg(long)]
    pub(crate) nth: u64,
    /// What chance begins with.
    #[arg(long)]
    pub(crate) seed: u64,
}

/// Told when the process is to come to its end.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// The end of the input is the end of the run, also if the run was killed.
    pub(crate) fn at_end_of_input() -> Self {
        let (sender, receiver) = watch::channel(false);
        thread::spawn(move || {
            // An error is an end, too.
            let _ = io::stdin().read_to_end(&mut Vec::new());
            sender.send_replace(true);
            // Nobody ends the process, whose last words may take for ever if the run is gone.
            thread::sleep(REST_MAX * 2);
            std::process::exit(3);
        });
        Self(receiver)
    }

    pub(crate) fn is_told(&self) -> bool {
        *self.0.borrow()
    }

    pub(crate) async fn told(&mut self) {
        // It is never dropped before it has told.
        let _ = self.0.wait_for(|is_told| *is_told).await;
    }

    /// Sleeps, unless it is told meanwhile.
    pub(crate) async fn sleep(&mut self, time: Duration) {
        let _ = tokio::time::timeout(time, self.told()).await;
    }
}

/// How long a process may take to come to its end, once nothing is broken any more.
pub(crate) const REST_MAX: Duration = Duration::from_mins(1);

/// The store, as soon as it can be reached; none if the run ends before.
pub(crate) async fn open<T: Target>(
    address: &str,
    dice: &mut Dice,
    stop: &mut Stop,
) -> Result<Option<T>, StoreError> {
    loop {
        match T::open(address, dice).await {
            Ok(store) => return Ok(Some(store)),
            Err(_) if stop.is_told() => return Ok(None),
            Err(error) if error.is_transient() => stop.sleep(Duration::from_millis(50)).await,
            Err(error) => return Err(error),
        }
    }
}

/// Says how far the process is: numbers in a line.
pub(crate) fn tell(numbers: &[u64]) {
    let text: Vec<_> = numbers.iter().map(u64::to_string).collect();
    // If nobody listens, the end of the input comes next.
    let _ = writeln!(io::stdout(), "{}", text.join(" "));
}
