//! The processes of a server: found in `/proc`, ended and stopped by signals.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::Error;

/// Nothing that is waited for here takes longer than some milliseconds, on a machine that is not stuck.
const PATIENCE: Duration = Duration::from_secs(20);

/// A process and all those that it has begun. Stops the first one, so that the answer stays true.
pub(super) fn stopped_family(pid: u32) -> Result<Vec<u32>, Error> {
    signal("STOP", &[pid])?;
    wait_until("the server's process stopped", || matches!(state(pid), None | Some('T' | 'Z')))?;
    Ok(family(pid))
}

/// A process and all those that it has begun. Those of Postgres begin none themselves.
pub(super) fn family(pid: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let children = all
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|child| stat(*child).is_some_and(|(_, parent)| parent == pid));
    [pid].into_iter().chain(children).collect()
}

/// Whether the process still does anything. One that has ended and is not yet buried does not.
pub(super) fn is_alive(pid: u32) -> bool {
    state(pid).is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// What the process calls itself: its command line, or what it has written over that.
pub(super) fn title(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Sends a signal to all of them at once. Those that have ended meanwhile are passed over.
pub(super) fn signal(signal: &str, pids: &[u32]) -> Result<(), Error> {
    // The shell's own `kill`: the program is in a package that a bare Debian lacks, and the call would need unsafe code.
    let program = PathBuf::from("sh");
    Command::new(&program)
        .args(["-c", "signal=$1; shift; kill -s \"$signal\" \"$@\"", "sh", signal])
        .args(pids.iter().map(u32::to_string))
        .stderr(Stdio::null())
        .status()
        .map_err(|source| Error::Run { program, uid: None, source })?;
    Ok(())
}

/// Waits until `condition` holds; if it never does, then `what` is what did not happen.
pub(super) fn wait_until(what: &'static str, condition: impl Fn() -> bool) -> Result<(), Error> {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        if Instant::now() > deadline {
            return Err(Error::TooSlow { what });
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn state(pid: u32) -> Option<char> {
    stat(pid).map(|(state, _)| state)
}

/// The state of a process, and its parent.
fn stat(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses, which may have spaces and parentheses in it.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}
