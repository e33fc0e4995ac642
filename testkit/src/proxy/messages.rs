//! The messages that a stream of Postgres' protocol consists of.

/// What comes before all others has no kind.
const STARTUP: u8 = 0;

const TLS_REQUESTS: [u32; 2] = [80_877_103, 80_877_104];
const CANCEL_REQUEST: u32 = 80_877_102;

/// Cuts a stream of bytes into messages.
pub(super) struct Messages {
    bytes: Vec<u8>,
    is_started: bool,
}

/// A whole message, as it is sent.
pub(super) struct Message {
    kind: u8,
    pub(super) bytes: Vec<u8>,
}

/// What a message of a client is about, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request<'a> {
    /// May the connection be encrypted? The answer is a single byte.
    Tls,
    Startup,
    Query {
        statement: &'a str,
    },
    Parse {
        name: &'a str,
        statement: &'a str,
    },
    Bind {
        portal: &'a str,
        name: &'a str,
    },
    Execute {
        portal: &'a str,
    },
    Sync,
    FunctionCall,
    Other,
}

impl Messages {
    pub(super) fn of_client() -> Self {
        Self { bytes: Vec::new(), is_started: false }
    }

    pub(super) fn of_server() -> Self {
        Self { bytes: Vec::new(), is_started: true }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next message, once it is complete.
    pub(super) fn next(&mut self) -> Option<Message> {
        // A kind, unless it is the first, and the length of the rest, which counts itself.
        let kind_bytes = usize::from(self.is_started);
        let length = self.bytes.get(kind_bytes..kind_bytes + 4)?;
        let length = u32::from_be_bytes(length.try_into().expect("4 bytes"));
        let end = kind_bytes + usize::try_from(length).expect("32 bits fit").max(4);
        if self.bytes.len() < end {
            return None;
        }
        let rest = self.bytes.split_off(end);
        let bytes = std::mem::replace(&mut self.bytes, rest);
        let message = Message { kind: if self.is_started { bytes[0] } else { STARTUP }, bytes };
        self.is_started |= message.request() == Request::Startup;
        Some(message)
    }
}

impl Message {
    /// Whether the server has answered all that it was asked, and waits.
    pub(super) fn is_ready_for_query(&self) -> bool {
        self.kind == b'Z'
    }

    /// Reads the message of a client.
    pub(super) fn request(&self) -> Request<'_> {
        if self.kind == STARTUP {
            let code =
                self.bytes.get(4..8).and_then(|code| code.try_into().ok()).map_or(0, u32::from_be_bytes);
            return match code {
                code if TLS_REQUESTS.contains(&code) => Request::Tls,
                CANCEL_REQUEST => Request::Other,
                _ => Request::Startup,
            };
        }
        // Texts that end with a zero. What is no text is none that a test looks for.
        let mut texts =
            self.bytes[5..].split(|byte| *byte == 0).map(|text| str::from_utf8(text).unwrap_or(""));
        let mut text = || texts.next().unwrap_or("");
        match self.kind {
            b'Q' => Request::Query { statement: text() },
            b'P' => Request::Parse { name: text(), statement: text() },
            b'B' => Request::Bind { portal: text(), name: text() },
            b'E' => Request::Execute { portal: text() },
            b'S' => Request::Sync,
            b'F' => Request::FunctionCall,
            _ => Request::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: &[u8], body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [kind, &length, body].concat()
    }

    #[test]
    fn finds_messages_however_the_stream_is_cut() {
        let stream = [
            message(b"", &TLS_REQUESTS[0].to_be_bytes()),
            message(b"", b"\0\x03\0\0user\0u\0\0"),
            message(b"P", b"s1\0SELECT 1\0\0\0"),
            message(b"B", b"\0s1\0\0\0\0\0\0\0"),
            message(b"E", b"\0\0\0\0\0"),
            message(b"S", b""),
            message(b"Q", b"COMMIT\0"),
        ]
        .concat();

        for chunk in 1..stream.len() {
            let (mut messages, mut found) = (Messages::of_client(), Vec::new());
            for bytes in stream.chunks(chunk) {
                messages.push(bytes);
                found.extend(std::iter::from_fn(|| messages.next()));
            }

            let requests: Vec<Request<'_>> = found.iter().map(Message::request).collect();
            let expected = [
                Request::Tls,
                Request::Startup,
                Request::Parse { name: "s1", statement: "SELECT 1" },
                Request::Bind { portal: "", name: "s1" },
                Request::Execute { portal: "" },
                Request::Sync,
                Request::Query { statement: "COMMIT" },
            ];
            assert_eq!(requests, expected);
            assert_eq!(found.into_iter().flat_map(|message| message.bytes).collect::<Vec<_>>(), stream);
        }
    }

    #[test]
    fn a_broken_length_does_not_stop_it() {
        let mut messages = Messages::of_server();

        messages.push(b"Z\0\0\0\0Z\0\0\0\x05I");

        assert!(messages.next().unwrap().is_ready_for_query());
        assert_eq!(messages.next().unwrap().bytes, b"Z\0\0\0\x05I");
        assert!(messages.next().is_none());
    }
}
