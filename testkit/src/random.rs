//! Names and ports that nobody else has.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    net::TcpListener,
    path::Path,
};

use crate::Error;

/// Below are ports that well-known services have.
const PORT_MIN: u16 = 10_000;

/// How many ports to try. A machine on which so many are taken has another problem.
const PORT_ATTEMPTS_MAX: usize = 100;

/// Text that nobody guesses, of 32 hexadecimal digits.
pub(crate) fn text() -> Result<String, Error> {
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes()?)))
}

/// A port of 127.0.0.1 on which nobody listens.
///
/// Not one of those that the kernel hands out for outgoing connections: whoever has it closes it and opens it again, and in
/// between nobody shall get it by chance.
pub(crate) fn port() -> Result<u16, Error> {
    let path = Path::new("/proc/sys/net/ipv4/ip_local_port_range");
    let range = fs::read_to_string(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    let handed_out_min: u16 = range.split_whitespace().next().and_then(|min| min.parse().ok()).unwrap_or(0);
    let count = handed_out_min.saturating_sub(PORT_MIN);
    let in_use = |source: io::Error| Error::File { path: "127.0.0.1".into(), source };
    if count > 0 {
        for _ in 0..PORT_ATTEMPTS_MAX {
            let port = PORT_MIN + u16::from_ne_bytes(bytes()?) % count;
            if TcpListener::bind(("127.0.0.1", port)).is_ok() {
                return Ok(port);
            }
        }
    }
    // This machine hands out all of them, so chance has to do.
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(in_use)?;
    Ok(listener.local_addr().map_err(in_use)?.port())
}

fn bytes<const N: usize>() -> Result<[u8; N], Error> {
    let path = Path::new("/dev/urandom");
    let mut bytes = [0; N];
    File::open(path)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|source| Error::File { path: path.to_owned(), source })?;
    Ok(bytes)
}
