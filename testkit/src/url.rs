//! URLs of databases, changed as text: sqlx' own way back to a URL loses parameters that it does not know.

use std::ops::Range;

/// Where a URL leads to, and as whom.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    pub(crate) user: &'a str,
    pub(crate) password: &'a str,
    pub(crate) host: &'a str,
    pub(crate) port: u16,
}

/// Reads a URL. `None` if it names no host, or one that is not reached by TCP.
pub(crate) fn target(url: &str) -> Option<Target<'_>> {
    let authority = &url[authority_of(url)];
    let (login, address) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let (host, port) = match address.rsplit_once(':') {
        // The colons of an IPv6 address are in brackets.
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
        _ => (address, 5432),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_tcp = !host.is_empty() && !host.starts_with("%2F");
    is_tcp.then_some(Target { user, password, host, port })
}

/// What a part of a URL says: `%2F` is a slash.
pub(crate) fn decoded(part: &str) -> String {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = tail.get(..2).filter(|_| *first == b'%').and_then(|digits| str::from_utf8(digits).ok());
        let byte = escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The URL of another database on the same server.
pub(crate) fn with_database(url: &str, database: &str) -> String {
    let path = authority_of(url).end;
    let rest = url[path..].find(['?', '#']).map_or("", |end| &url[path + end..]);
    format!("{}/{database}{rest}", &url[..path])
}

/// The URL of the same database through a port of this machine.
pub(crate) fn with_port(url: &str, port: u16) -> String {
    let authority = authority_of(url);
    let address = url[authority.clone()].rfind('@').map_or(authority.start, |at| authority.start + at + 1);
    format!("{}127.0.0.1:{port}{}", &url[..address], &url[authority.end..])
}

fn authority_of(url: &str) -> Range<usize> {
    let start = url.find("://").map_or(0, |scheme| scheme + 3);
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |end| start + end);
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_only_the_database() {
        for (url, expected) in [
            ("postgres://u:p@host:5432/old?sslmode=disable", "postgres://u:p@host:5432/new?sslmode=disable"),
            ("postgres://u@host", "postgres://u@host/new"),
            ("postgres://host/", "postgres://host/new"),
            ("postgres://%2Frun%2Fpg?user=u", "postgres://%2Frun%2Fpg/new?user=u"),
            ("postgres:///old?host=/run/pg", "postgres:///new?host=/run/pg"),
        ] {
            assert_eq!(with_database(url, "new"), expected);
        }
    }

    #[test]
    fn replaces_only_the_address() {
        for (url, expected) in [
            ("postgres://u:p@host:5432/db?sslmode=disable", "postgres://u:p@127.0.0.1:7/db?sslmode=disable"),
            ("postgres://[::1]:5432", "postgres://127.0.0.1:7"),
            ("postgres://host/db", "postgres://127.0.0.1:7/db"),
        ] {
            assert_eq!(with_port(url, 7), expected);
        }
    }

    #[test]
    fn decodes_what_a_url_has_to_escape() {
        for (part, expected) in
            [("plain", "plain"), ("a%2Fb%C3%A4", "a/b\u{e4}"), ("100%", "100%"), ("%zz", "%zz")]
        {
            assert_eq!(decoded(part), expected);
        }
    }

    #[test]
    fn reads_where_a_url_leads_to() {
        let local = Target { user: "u", password: "p", host: "::1", port: 7 };
        assert_eq!(target("postgres://u:p@[::1]:7/db"), Some(local));
        let remote = Target { user: "", password: "", host: "host", port: 5432 };
        assert_eq!(target("postgres://host?sslmode=disable"), Some(remote));
        assert_eq!(target("postgres://%2Frun%2Fpg/db"), None);
        assert_eq!(target("postgres:///db?host=/run/pg"), None);
    }
}
