//! Processes that are made to stand still, and to go on.

use std::process::Command;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Signal {
    Stop,
    Continue,
}

/// The shell's own `kill`: the program may be missing, and the call would need unsafe code.
pub(crate) fn signal(signal: Signal, pid: u32) -> anyhow::Result<()> {
    let name = match signal {
        Signal::Stop => "STOP",
        Signal::Continue => "CONT",
    };
    let status =
        Command::new("sh").args(["-c", "kill -s \"$1\" \"$2\"", "sh", name, &pid.to_string()]).status()?;
    anyhow::ensure!(status.success(), "no signal {name} can be sent to process {pid}");
    Ok(())
}
