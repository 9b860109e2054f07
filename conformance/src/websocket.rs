//! A WebSocket client that does what a test says, right or wrong.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

/// How long a test waits for bytes that must come.
const PATIENCE: Duration = Duration::from_secs(10);

/// The masking key of frames.
const KEY: [u8; 4] = [0x1f, 0x00, 0xa5, 0xff];

/// Most bytes that one compressed message of a test stands for.
const INFLATED_MAX: usize = 8 << 20;

/// A connection to the WebSocket port of a server on loopback.
pub struct WebSocketClient {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Text of the NATS protocol that came in frames and was not taken yet.
    text: Vec<u8>,
    /// The answer to the upgrade request, up to its empty line.
    pub response: String,
}

/// A frame of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Final bit, compression bit and opcode.
    pub first: u8,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// With a close frame: its status, 0 if it has none, and its text.
    Frame(u16, String),
    /// Without.
    Silently,
}

/// An upgrade request that a server accepts, with further header lines.
#[must_use]
pub fn request(port: u16, headers: &[&str]) -> String {
    let more: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    format!(
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    )
}

impl WebSocketClient {
    /// Sends a request and reads the head of the answer.
    ///
    /// # Panics
    /// When nobody listens there, or nothing is answered.
    #[must_use]
    #[track_caller]
    pub fn open(port: u16, request: &str) -> Self {
        let mut client = Self::silent(port);
        client
            .stream
            .write_all(request.as_bytes())
            .expect("the server reads");
        loop {
            if let Some(end) = find(&client.buffer, b"\r\n\r\n") {
                let head: Vec<u8> = client.buffer.drain(..end + 4).collect();
                client.response = String::from_utf8(head).expect("text");
                return client;
            }
            assert!(client.fill(), "closed without an answer to {request:?}");
        }
    }

    /// Connects, and says nothing.
    ///
    /// # Panics
    /// When nobody listens there.
    #[must_use]
    #[track_caller]
    pub fn silent(port: u16) -> Self {
        let stream = match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => stream,
            Err(error) => panic!("127.0.0.1:{port}: {error}"),
        };
        stream.set_nodelay(true).expect("a fresh socket");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a fresh socket");
        Self {
            stream,
            buffer: Vec::new(),
            text: Vec::new(),
            response: String::new(),
        }
    }

    /// Opens a connection with further header lines in the request.
    ///
    /// # Panics
    /// When the server does not accept it.
    #[must_use]
    #[track_caller]
    pub fn connect(port: u16, headers: &[&str]) -> Self {
        let client = Self::open(port, &request(port, headers));
        assert!(
            client.response.starts_with("HTTP/1.1 101 "),
            "{}",
            client.response
        );
        client
    }

    /// As [`Self::connect`], past INFO, CONNECT and the first PONG.
    #[must_use]
    #[track_caller]
    pub fn ready(port: u16, headers: &[&str]) -> Self {
        let mut client = Self::connect(port, headers);
        let info = client.line();
        assert!(info.starts_with("INFO "), "{info}");
        client.say("CONNECT {\"verbose\":false,\"pedantic\":false}\r\nPING\r\n");
        assert_eq!(client.line(), "PONG");
        client
    }

    /// Sends one frame; `first` is its first byte.
    ///
    /// # Panics
    /// When the server has closed.
    #[track_caller]
    pub fn send(&mut self, first: u8, payload: &[u8]) {
        self.send_raw(&frame(first, payload));
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    /// When the server has closed.
    #[track_caller]
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server reads");
    }

    /// Sends text of the NATS protocol in a binary frame.
    #[track_caller]
    pub fn say(&mut self, text: &str) {
        self.send(0x82, text.as_bytes());
    }

    /// Sends a compressed message.
    #[track_caller]
    pub fn send_compressed(&mut self, plain: &[u8]) {
        self.send(0xc2, &deflate(plain));
    }

    /// The body of a refusal, up to the end of the connection or of what its length announces.
    #[track_caller]
    pub fn body(&mut self) -> String {
        let length = self.response.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let named = name.eq_ignore_ascii_case("content-length");
            named.then(|| value.trim().parse::<usize>().ok())?
        });
        while length.is_none_or(|length| self.buffer.len() < length) && self.fill() {}
        String::from_utf8(std::mem::take(&mut self.buffer)).expect("text")
    }

    /// The next frame; `None` at the end of the connection.
    ///
    /// # Panics
    /// When nothing comes, or the frame is not one of a server.
    #[track_caller]
    pub fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, used)) = parse(&self.buffer) {
                self.buffer.drain(..used);
                return Some(frame);
            }
            if !self.fill() {
                assert!(self.buffer.is_empty(), "half a frame: {:?}", self.buffer);
                return None;
            }
        }
    }

    /// The next message, its frames joined, decompressed if it says that it is compressed.
    ///
    /// # Panics
    /// As [`Self::frame`]; at the end of the connection; when a control frame comes.
    #[track_caller]
    pub fn message(&mut self) -> Vec<u8> {
        let first = self.frame().expect("a message comes");
        let compressed = first.first & 0x40 != 0;
        assert!(matches!(first.first & 0x3f, 2), "{first:?}");
        let mut payload = first.payload;
        let mut last = first.first & 0x80 != 0;
        while !last {
            let next = self.frame().expect("the message goes on");
            assert_eq!(next.first & 0x7f, 0, "a continuation");
            payload.extend_from_slice(&next.payload);
            last = next.first & 0x80 != 0;
        }
        match compressed {
            true => inflate(&payload),
            false => payload,
        }
    }

    /// The next line of the NATS protocol, without its end.
    #[track_caller]
    pub fn line(&mut self) -> String {
        loop {
            if let Some(end) = find(&self.text, b"\r\n") {
                let line: Vec<u8> = self.text.drain(..end + 2).take(end).collect();
                return String::from_utf8(line).expect("text");
            }
            let message = self.message();
            self.text.extend_from_slice(&message);
        }
    }

    /// Reads to the end of the connection, past whatever comes before a close frame.
    #[track_caller]
    pub fn closed(&mut self) -> Closed {
        let mut closed = Closed::Silently;
        while let Some(frame) = self.frame() {
            if frame.first != 0x88 {
                assert_eq!(closed, Closed::Silently, "a frame behind the close frame");
                continue;
            }
            let (status, text) = match frame.payload.split_first_chunk::<2>() {
                Some((status, text)) => (u16::from_be_bytes(*status), text),
                None => (0, &[][..]),
            };
            let text = String::from_utf8(text.to_vec()).expect("text");
            closed = Closed::Frame(status, text);
        }
        closed
    }

    /// Reads what comes next and forgets it; returns how many bytes it was, 0 at the end of the connection.
    #[track_caller]
    pub fn read_away(&mut self) -> usize {
        self.buffer.clear();
        self.fill();
        self.buffer.len()
    }

    /// Reads what comes next; false at the end of the connection.
    #[track_caller]
    fn fill(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => false,
            Ok(count) => {
                self.buffer.extend_from_slice(&bytes[..count]);
                true
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                self.buffer.clear();
                false
            }
            Err(error) => panic!("nothing comes ({error}); so far {:?}", self.buffer),
        }
    }
}

/// A client's frame, masked.
#[must_use]
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | u8::try_from(length).expect("at most 125")),
        length @ 126..=65_535 => {
            bytes.push(0xfe);
            let length = u16::try_from(length).expect("at most 65,535");
            bytes.extend_from_slice(&length.to_be_bytes());
        }
        length => {
            bytes.push(0xff);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&KEY);
    bytes.extend(payload.iter().zip(KEY.iter().cycle()).map(|(a, b)| a ^ b));
    bytes
}

/// A server's frame at the beginning of the bytes, and its size.
fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let &[first, second, ref rest @ ..] = bytes else {
        return None;
    };
    assert_eq!(second & 0x80, 0, "a server does not mask");
    let (length, header) = match second {
        126 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
        127 => {
            let length = u64::from_be_bytes(*rest.first_chunk()?);
            (usize::try_from(length).expect("a length"), 10)
        }
        short => (usize::from(short), 2),
    };
    let payload = bytes.get(header..header + length)?.to_vec();
    Some((Frame { first, payload }, header + length))
}

/// The payload of a compressed message.
#[must_use]
pub fn deflate(plain: &[u8]) -> Vec<u8> {
    let mut state = Compress::new(Compression::default(), false);
    let mut bytes = Vec::with_capacity(plain.len() + 1024);
    let done = state.compress_vec(plain, &mut bytes, FlushCompress::Sync);
    done.expect("compression does not fail");
    bytes.truncate(bytes.len() - 4);
    bytes
}

fn inflate(payload: &[u8]) -> Vec<u8> {
    let input = [payload, &[0, 0, 0xff, 0xff]].concat();
    let mut plain = Vec::with_capacity(INFLATED_MAX);
    let mut state = Decompress::new(false);
    let done = state.decompress_vec(&input, &mut plain, FlushDecompress::Sync);
    done.expect("the server compresses well");
    assert_eq!(state.total_in(), input.len() as u64, "all of it");
    plain
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
