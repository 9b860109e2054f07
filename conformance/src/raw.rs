//! A client that speaks the text protocol and nothing more: what a test sends is what leaves, what arrives is what it sees.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};

use crate::TlsClient;

/// How long a test waits for bytes that must come.
const PATIENCE: Duration = Duration::from_secs(10);

const INTRODUCTION: &[u8] = b"CONNECT {\"verbose\":false,\"pedantic\":false,\"protocol\":0,\"headers\":true,\"no_responders\":true}\r\nPING\r\n";

/// A raw connection to a server on loopback.
pub struct RawClient {
    stream: Stream,
    buffer: Vec<u8>,
    start: usize,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => &tls.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(into),
            Self::Tls(tls) => tls.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

/// A delivered message, `MSG` or `HMSG`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The subject as delivered.
    pub subject: String,
    /// The subscription's id.
    pub sid: String,
    /// The reply subject, if any.
    pub reply: Option<String>,
    /// The whole header block with its closing blank line; empty for `MSG`.
    pub headers: Vec<u8>,
    /// The body.
    pub payload: Vec<u8>,
}

impl Message {
    /// The status line after `NATS/1.0 `, for instance `404 No Messages`; `None` without headers or without a status.
    #[must_use]
    pub fn status(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.headers).into_owned();
        let status = text.lines().next()?.strip_prefix("NATS/1.0")?.trim();
        (!status.is_empty()).then(|| status.to_owned())
    }

    /// The first header of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let text = String::from_utf8_lossy(&self.headers).into_owned();
        text.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            (key == name).then(|| value.trim().to_owned())
        })
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }
}

impl RawClient {
    /// Connects to 127.0.0.1.
    ///
    /// # Panics
    /// When nobody listens there.
    #[must_use]
    #[track_caller]
    pub fn connect(port: u16) -> Self {
        let stream = match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => stream,
            Err(error) => panic!("127.0.0.1:{port}: {error}"),
        };
        Self::over(stream)
    }

    fn over(stream: TcpStream) -> Self {
        stream
            .set_nodelay(true)
            .expect("a fresh socket takes options");
        let mut client = Self {
            stream: Stream::Plain(stream),
            buffer: Vec::new(),
            start: 0,
        };
        client.set_patience(PATIENCE);
        client
    }

    /// Connects, reads the greeting, sends `CONNECT` with headers and no-responders, and waits for the `PONG`.
    #[must_use]
    #[track_caller]
    pub fn ready(port: u16) -> Self {
        let mut client = Self::connect(port);
        let info = client.line();
        assert!(info.starts_with("INFO "), "{info}");
        client.introduce();
        client
    }

    /// As [`Self::ready`], for a server that may be gone.
    ///
    /// # Errors
    /// Nobody listens there, or the connection ends before the `PONG`.
    pub fn try_ready(port: u16) -> std::io::Result<Self> {
        let mut client = Self::over(TcpStream::connect(("127.0.0.1", port))?);
        let _info = client.try_line()?;
        client.try_send(INTRODUCTION)?;
        match client.try_line()?.as_str() {
            "PONG" => Ok(client),
            other => Err(std::io::Error::other(format!("{other:?} for a PONG"))),
        }
    }

    /// Sends `CONNECT` with headers and no-responders, and waits for the `PONG`.
    #[track_caller]
    pub fn introduce(&mut self) {
        self.send(INTRODUCTION);
        assert_eq!(self.line(), "PONG");
    }

    /// Shakes hands over the connection: everything else goes through TLS.
    ///
    /// # Errors
    /// What is wrong with the handshake on the client's side. With TLS 1.3 the server may still refuse afterwards.
    ///
    /// # Panics
    /// When bytes were received that nobody has read.
    pub fn upgrade(mut self, tls: &TlsClient) -> std::io::Result<Self> {
        assert_eq!(self.unread(), "", "unread bytes before the handshake");
        let Stream::Plain(mut socket) = self.stream else {
            return Err(std::io::Error::other("TLS over TLS"));
        };
        let mut connection = tls.connection().map_err(std::io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        self.stream = Stream::Tls(Box::new(StreamOwned::new(connection, socket)));
        Ok(self)
    }

    /// Says good-bye: with TLS that is a message of its own.
    pub fn close(mut self) {
        if let Stream::Tls(tls) = &mut self.stream {
            tls.conn.send_close_notify();
            // Who is closed already cannot be told.
            drop(tls.flush());
        }
    }

    /// The certificate of the server, DER; empty without TLS.
    #[must_use]
    pub fn server_certificate(&self) -> Vec<u8> {
        match &self.stream {
            Stream::Plain(_) => Vec::new(),
            Stream::Tls(tls) => {
                let chain = tls.conn.peer_certificates().unwrap_or_default();
                chain.first().map_or_else(Vec::new, |first| first.to_vec())
            }
        }
    }

    /// How long later reads wait before the test fails.
    pub fn set_patience(&mut self, patience: Duration) {
        let set = self.stream.socket().set_read_timeout(Some(patience));
        set.expect("a positive timeout is accepted");
    }

    /// The socket, for what only misbehaving clients do with it.
    #[must_use]
    pub fn socket(&self) -> &TcpStream {
        self.stream.socket()
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    /// When the server has closed the connection.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        if let Err(error) = self.try_send(bytes) {
            panic!(
                "sending {:?}: {error}",
                String::from_utf8_lossy(&bytes[..bytes.len().min(80)])
            );
        }
    }

    /// Sends bytes as they are; the peer may already be gone.
    ///
    /// # Errors
    /// What the socket says.
    pub fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// The next line without its `\r\n`.
    ///
    /// # Panics
    /// When no line arrives in time, the connection ends, or the line is not ended by `\r\n`.
    #[track_caller]
    pub fn line(&mut self) -> String {
        match self.try_line() {
            Ok(line) => line,
            Err(error) => panic!("waiting for a line: {error}; so far {:?}", self.unread()),
        }
    }

    /// The next line without its `\r\n`.
    ///
    /// # Errors
    /// `TimedOut` or `WouldBlock` when nothing arrives in time, `UnexpectedEof` when the connection has ended, `InvalidData`
    /// when the line does not end in `\r\n`.
    pub fn try_line(&mut self) -> std::io::Result<String> {
        let mut searched = self.start;
        loop {
            if let Some(at) = self.buffer[searched..]
                .iter()
                .position(|&byte| byte == b'\n')
            {
                let end = searched + at;
                let line = &self.buffer[self.start..end];
                let Some(line) = line.strip_suffix(b"\r") else {
                    return Err(ErrorKind::InvalidData.into());
                };
                let line = String::from_utf8_lossy(line).into_owned();
                self.start = end + 1;
                return Ok(line);
            }
            searched = self.buffer.len();
            let moved = self.fill()?;
            searched -= moved;
        }
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// As [`Self::try_line`].
    pub fn try_bytes(&mut self, count: usize) -> std::io::Result<Vec<u8>> {
        while self.buffer.len() - self.start < count {
            self.fill()?;
        }
        let bytes = self.buffer[self.start..self.start + count].to_vec();
        self.start += count;
        Ok(bytes)
    }

    /// The next message; `PING` is answered, `INFO` and `+OK` are passed over.
    ///
    /// # Panics
    /// When something else or nothing arrives.
    #[track_caller]
    pub fn message(&mut self) -> Message {
        match self.try_message() {
            Ok(message) => message,
            Err(error) => panic!("waiting for a message: {error}; so far {:?}", self.unread()),
        }
    }

    /// The next message; `PING` is answered, `INFO` and `+OK` are passed over.
    ///
    /// # Errors
    /// As [`Self::try_line`]; any other line is an error that quotes it.
    pub fn try_message(&mut self) -> std::io::Result<Message> {
        loop {
            let line = self.try_line()?;
            let mut words = line.split(' ').filter(|word| !word.is_empty());
            let verb = words.next().unwrap_or_default();
            match verb {
                "PING" => self.try_send(b"PONG\r\n")?,
                "INFO" | "+OK" | "PONG" => {}
                "MSG" | "HMSG" => {
                    let words: Vec<&str> = words.collect();
                    return self.message_body(verb == "HMSG", &words);
                }
                _ => return Err(std::io::Error::other(format!("unexpected line {line:?}"))),
            }
        }
    }

    /// Reads until the server ends the connection, for a reset counts as an end.
    ///
    /// # Panics
    /// When bytes arrive, or the connection stays open.
    #[track_caller]
    pub fn expect_closed(&mut self) {
        if self.start < self.buffer.len() {
            panic!(
                "expected the end of the connection, got {:?}",
                self.unread()
            );
        }
        match self.fill() {
            Ok(_) => panic!(
                "expected the end of the connection, got {:?}",
                self.unread()
            ),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
                ) => {}
            Err(error) => panic!("expected the end of the connection: {error}"),
        }
    }

    /// Sends `PING` and expects that `PONG` is the next line: nothing else was under way.
    #[track_caller]
    pub fn expect_quiet(&mut self) {
        self.send(b"PING\r\n");
        assert_eq!(self.line(), "PONG");
    }

    fn message_body(&mut self, headers: bool, words: &[&str]) -> std::io::Result<Message> {
        let numbers = if headers { 2 } else { 1 };
        let bad = || std::io::Error::other(format!("malformed message line {words:?}"));
        if words.len() < 2 + numbers || words.len() > 3 + numbers {
            return Err(bad());
        }
        let (names, sizes) = words.split_at(words.len() - numbers);
        let sizes: Result<Vec<usize>, _> = sizes.iter().map(|size| size.parse::<usize>()).collect();
        let sizes = sizes.map_err(|_| bad())?;
        let total = sizes[numbers - 1];
        let split = if headers { sizes[0] } else { 0 };
        let mut body = self.try_bytes(total + 2)?;
        if split > total || body.split_off(total) != b"\r\n" {
            return Err(bad());
        }
        let payload = body.split_off(split);
        Ok(Message {
            subject: names[0].to_owned(),
            sid: names[1].to_owned(),
            reply: names.get(2).map(|reply| (*reply).to_owned()),
            headers: body,
            payload,
        })
    }

    /// Reads more and says by how much the unread bytes moved to the front.
    fn fill(&mut self) -> std::io::Result<usize> {
        let moved = self.start;
        self.buffer.drain(..self.start);
        self.start = 0;
        let mut chunk = [0; 65_536];
        let count = self.stream.read(&mut chunk)?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.buffer.extend_from_slice(&chunk[..count]);
        Ok(moved)
    }

    fn unread(&self) -> String {
        String::from_utf8_lossy(&self.buffer[self.start..]).into_owned()
    }
}
