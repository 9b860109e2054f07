//! TLS between the socket and what is above it.

use everjet_conn::CloseReason;
use everjet_wire::put_err;
use rustls::ProtocolVersion;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError};

use super::{TlsContext, TlsError, provider};
use crate::events::Handshake;
use crate::layer::Layer;

/// The first byte of a record with a message of the handshake.
pub(super) const HANDSHAKE_RECORD: u8 = 0x16;

/// Plain bytes of one record.
const RECORD_PLAIN_MAX: usize = 16 * 1024;

/// What a record adds to its plain bytes, at most.
const RECORD_OVERHEAD: usize = 64;

/// Room for a message of TLS itself beside the records of a write: an alert, or new keys.
const MESSAGE_BYTES: usize = 128;

/// TLS on the side of the server.
///
/// Received bytes are kept only while a record or a message of the handshake is incomplete: at most 64 KiB, which is what rustls allows
/// a message, and one record. rustls also bounds how often a peer may change keys (32 times without data in between) and refuses to
/// renegotiate.
pub(crate) struct TlsLayer {
    connection: UnbufferedServerConnection,
    stage: Stage,
    /// What came from the wire and is not done with; without memory when there is nothing.
    incoming: Vec<u8>,
    /// Plain bytes that turned up while something was written; they go first.
    early: Vec<u8>,
    /// The end that turned up behind them.
    end: Option<Result<(), rustls::Error>>,
    /// Whether a peer that does not begin a handshake is told so in the text protocol.
    speaks_text: bool,
    /// What became of the handshake, until somebody asks.
    outcome: Option<Handshake>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing has come yet.
    Silent,
    Handshake,
    Ready,
    /// It failed, or the peer said that it was done.
    Ended,
}

/// How far rustls got with what has come.
enum Step {
    /// It needs more bytes from the peer, or could write for us.
    Idle,
    /// As much as was wanted.
    Enough,
    /// The peer closed its side.
    PeerClosed,
}

impl TlsLayer {
    /// TLS of one connection; `speaks_text` if the text protocol is what is above it.
    ///
    /// # Errors
    /// The context is not one that rustls takes, which does not depend on the connection.
    pub(crate) fn new(context: &TlsContext, speaks_text: bool) -> Result<Self, TlsError> {
        let connection = UnbufferedServerConnection::new(context.config.clone())
            .map_err(|error| TlsError::Options(error.to_string()))?;
        Ok(Self {
            connection,
            stage: Stage::Silent,
            incoming: Vec::new(),
            early: Vec::new(),
            end: None,
            speaks_text,
            outcome: None,
        })
    }

    /// Lets rustls work on what has come until `plain` holds `plain_max` bytes. What it has to say goes to `answer`.
    fn advance(
        &mut self,
        plain: &mut Vec<u8>,
        plain_max: usize,
        answer: &mut Vec<u8>,
    ) -> Result<Step, rustls::Error> {
        let mut used = 0;
        let result = loop {
            if plain.len() >= plain_max {
                break Ok(Step::Enough);
            }
            // Always the bytes themselves: rustls remembers places in them.
            let status = self
                .connection
                .process_tls_records(&mut self.incoming[used..]);
            let mut discard = status.discard;
            let step = match status.state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
                    match traffic.next_record() {
                        Some(Ok(record)) => {
                            plain.extend_from_slice(record.payload);
                            discard += record.discard;
                        }
                        Some(Err(error)) => break Some(Err(error)),
                        None => break None,
                    }
                },
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    put_message(answer, &mut data);
                    None
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    None
                }
                Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => {
                    Some(Ok(Step::Idle))
                }
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                    Some(Ok(Step::PeerClosed))
                }
                // Early data is off, and there are no other states.
                Ok(_) => Some(Err(rustls::Error::General("unexpected state".to_owned()))),
                Err(error) => Some(Err(error)),
            };
            used += discard;
            if let Some(result) = step {
                break result;
            }
        };
        if used == self.incoming.len() {
            self.incoming = Vec::new();
        } else {
            self.incoming.drain(..used);
        }
        if self.stage == Stage::Handshake && !self.connection.is_handshaking() {
            self.stage = Stage::Ready;
            self.outcome = Some(self.done());
        }
        result
    }

    /// What was agreed on.
    fn done(&self) -> Handshake {
        let suite = self.connection.negotiated_cipher_suite();
        Handshake::Done {
            version: match self.connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "1.3",
                _ => "1.2",
            },
            suite: suite.map_or("unknown", provider::suite_name),
        }
    }

    /// Ends the layer after an error, with the alert for the peer.
    fn fail(&mut self, error: &rustls::Error, answer: &mut Vec<u8>) -> CloseReason {
        // No further than the alert: rustls must not be asked again after an error.
        while self.connection.wants_write()
            && let Ok(ConnectionState::EncodeTlsData(mut data)) = self
                .connection
                .process_tls_records(&mut self.incoming)
                .state
        {
            put_message(answer, &mut data);
        }
        self.incoming = Vec::new();
        let stage = std::mem::replace(&mut self.stage, Stage::Ended);
        if stage == Stage::Ready {
            return CloseReason::ReadError;
        }
        self.outcome = Some(Handshake::Failed {
            error: error.to_string(),
            is_probe: false,
        });
        CloseReason::TlsHandshakeFailure
    }

    /// Refuses a peer that does not begin with a handshake.
    fn refuse(&mut self, answer: &mut Vec<u8>) -> CloseReason {
        if self.speaks_text {
            put_err(answer, "Secure Connection - TLS Required");
        }
        self.stage = Stage::Ended;
        self.outcome = Some(Handshake::Failed {
            error: "first record does not look like a TLS handshake".to_owned(),
            is_probe: true,
        });
        CloseReason::TlsHandshakeFailure
    }

    /// Lets `write` write, if the state of the connection allows it.
    fn write_with(
        &mut self,
        wire: &mut Vec<u8>,
        room: usize,
        mut write: impl FnMut(
            &mut rustls::unbuffered::WriteTraffic<'_, ServerConnectionData>,
            &mut [u8],
        ) -> Result<usize, EncryptError>,
    ) {
        if self.stage != Stage::Ready || self.end.is_some() {
            return;
        }
        let mut early = std::mem::take(&mut self.early);
        // Whatever has come and is not decoded must be first, because rustls works in order.
        let ahead = self.advance(&mut early, usize::MAX, wire);
        self.early = early;
        self.end = match ahead {
            Ok(Step::Idle | Step::Enough) => None,
            Ok(Step::PeerClosed) => Some(Ok(())),
            Err(error) => Some(Err(error)),
        };
        if self.end.is_some() {
            return;
        }
        let status = self.connection.process_tls_records(&mut self.incoming);
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = status.state {
            fill(wire, room, |room| {
                write(&mut traffic, room).map_err(|error| match error {
                    EncryptError::InsufficientSize(size) => Some(size.required_size),
                    // Only TLS 1.2 comes to the end of what its keys may encrypt; the peer was told by then.
                    EncryptError::EncryptExhausted => None,
                })
            });
        }
    }
}

impl Layer for TlsLayer {
    fn decode(
        &mut self,
        wire: &mut &[u8],
        plain: &mut Vec<u8>,
        plain_max: usize,
        answer: &mut Vec<u8>,
    ) -> Result<(), CloseReason> {
        let came = std::mem::take(wire);
        match self.stage {
            Stage::Ended => return Err(CloseReason::ClientClosed),
            Stage::Silent => match came.first() {
                None => return Ok(()),
                Some(&HANDSHAKE_RECORD) => self.stage = Stage::Handshake,
                Some(_) => return Err(self.refuse(answer)),
            },
            Stage::Handshake | Stage::Ready => {}
        }
        self.incoming.extend_from_slice(came);
        if !self.early.is_empty() {
            plain.append(&mut std::mem::take(&mut self.early));
        }
        let step = match self.end.take() {
            None => self.advance(plain, plain_max, answer),
            Some(end) => end.map(|()| Step::PeerClosed),
        };
        match step {
            Ok(Step::Idle | Step::Enough) => Ok(()),
            Ok(Step::PeerClosed) => {
                self.stage = Stage::Ended;
                Err(CloseReason::ClientClosed)
            }
            Err(error) => Err(self.fail(&error, answer)),
        }
    }

    fn encode(&mut self, plain: &[u8], wire: &mut Vec<u8>) {
        let records = plain.len() / RECORD_PLAIN_MAX + 1;
        let room = plain.len() + records * RECORD_OVERHEAD + MESSAGE_BYTES;
        self.write_with(wire, room, |traffic, room| traffic.encrypt(plain, room));
    }

    fn finish(&mut self, _: CloseReason, wire: &mut Vec<u8>) {
        self.write_with(wire, MESSAGE_BYTES, |traffic, room| {
            traffic.queue_close_notify(room)
        });
        self.stage = Stage::Ended;
    }

    fn is_ready(&self) -> bool {
        self.stage == Stage::Ready
    }

    fn take_handshake(&mut self) -> Option<Handshake> {
        self.outcome.take()
    }
}

/// Appends a message of TLS itself.
fn put_message(wire: &mut Vec<u8>, data: &mut EncodeTlsData<'_, ServerConnectionData>) {
    fill(wire, MESSAGE_BYTES, |room| {
        data.encode(room).map_err(|error| match error {
            EncodeError::InsufficientSize(size) => Some(size.required_size),
            EncodeError::AlreadyEncoded => None,
        })
    });
}

/// Lets `write` append to `bytes`, with more room if it says so. `None` of an error means that nothing can be written.
fn fill(
    bytes: &mut Vec<u8>,
    room: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
) {
    let start = bytes.len();
    let mut room = room;
    loop {
        bytes.resize(start + room, 0);
        match write(&mut bytes[start..]) {
            Ok(written) => {
                bytes.truncate(start + written);
                return;
            }
            Err(Some(needed)) if needed > room => room = needed,
            Err(_) => {
                bytes.truncate(start);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
