//! WebSocket as a layer.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use everjet_conn::{ClientLimits, CloseReason, Entrance, Introduction, PresetCredentials};
use everjet_websocket::{
    Cause, CloseStatus, Cookies, Decoder, Deflater, Encoder, Refusal, Request, Step, Upgrade,
    UpgradeRules, put_close,
};

use crate::layer::{Findings, Layer};

/// A compressed message may stand for as many messages of the largest size, but not for more bytes than the second number.
const INFLATED_PAYLOADS_MAX: u64 = 8;
const INFLATED_BYTES_MAX: u64 = 64 * 1024 * 1024;

thread_local! {
    /// Nothing of it belongs to a connection: whichever thread writes uses its own.
    static DEFLATER: RefCell<Deflater> = RefCell::default();
}

/// A listener for WebSocket clients.
#[derive(Clone, Debug)]
pub struct WebSocketPlan {
    /// What upgrade requests must look like.
    pub rules: UpgradeRules,
    /// Rules of these clients.
    pub limits: Arc<ClientLimits>,
    /// Time from accept until the request is answered, the handshake of TLS included.
    pub handshake_timeout: Duration,
    /// What INFO names; the port is replaced by the real one.
    pub entrance: Arc<Entrance>,
}

/// WebSocket between the socket, or TLS, and the text protocol.
pub(crate) struct WebSocket {
    plan: Arc<WebSocketPlan>,
    phase: Phase,
}

enum Phase {
    /// The request is read.
    Upgrading(Upgrade),
    /// The request was refused and the answer is written.
    Refused(Refusal),
    /// Frames are exchanged.
    Open {
        decoder: Decoder,
        encoder: Encoder,
        /// What the request said, until somebody asks.
        findings: Option<Box<Findings>>,
    },
    /// The peer's frames ended; the close frame that answers, or none if the reason of the end makes it.
    Ended { encoder: Encoder, close: Vec<u8> },
}

impl WebSocket {
    pub(crate) fn new(plan: Arc<WebSocketPlan>) -> Self {
        Self {
            plan,
            phase: Phase::Upgrading(Upgrade::default()),
        }
    }

    fn open(&mut self, request: Request) {
        let payload_max = self.plan.limits.payload_max as u64;
        let inflated_max = payload_max.saturating_mul(INFLATED_PAYLOADS_MAX);
        let decoder = Decoder::new(request.compression, inflated_max.min(INFLATED_BYTES_MAX));
        let findings = Findings {
            introduction: Some(Introduction {
                entrance: self.plan.entrance.clone(),
                preset: preset(request.cookies),
            }),
            forwarded_for: request.forwarded_for,
        };
        self.phase = Phase::Open {
            decoder,
            encoder: request.encoder,
            findings: Some(Box::new(findings)),
        };
    }
}

impl Layer for WebSocket {
    fn decode(
        &mut self,
        wire: &mut &[u8],
        plain: &mut Vec<u8>,
        plain_max: usize,
        answer: &mut Vec<u8>,
    ) -> Result<(), CloseReason> {
        if let Phase::Upgrading(upgrade) = &mut self.phase {
            match upgrade.step(wire, &self.plan.rules, answer) {
                Step::Incomplete => return Ok(()),
                Step::Accepted(request) => self.open(request),
                Step::Refused(refusal) => self.phase = Phase::Refused(refusal),
            }
        }
        let Phase::Open {
            decoder, encoder, ..
        } = &mut self.phase
        else {
            *wire = &[];
            return Err(CloseReason::ProtocolViolation);
        };
        let Err(end) = decoder.decode(wire, plain, plain_max, answer) else {
            return Ok(());
        };
        self.phase = Phase::Ended {
            encoder: *encoder,
            close: end.close,
        };
        Err(match end.cause {
            Cause::Closed => CloseReason::ClientClosed,
            Cause::Violation(_) => CloseReason::ProtocolViolation,
            Cause::TooLarge => CloseReason::MaximumPayloadExceeded,
        })
    }

    fn encode(&mut self, plain: &[u8], wire: &mut Vec<u8>) {
        if let Phase::Open { encoder, .. } | Phase::Ended { encoder, .. } = &self.phase {
            DEFLATER.with_borrow_mut(|deflater| encoder.encode(plain, deflater, wire));
        }
    }

    fn finish(&mut self, reason: CloseReason, wire: &mut Vec<u8>) {
        match &self.phase {
            Phase::Ended { close, .. } if !close.is_empty() => wire.extend_from_slice(close),
            Phase::Open { .. } | Phase::Ended { .. } => {
                put_close(wire, status(reason), reason.text());
            }
            Phase::Upgrading(_) | Phase::Refused(_) => {}
        }
    }

    fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Open { .. } | Phase::Ended { .. })
    }

    fn take_findings(&mut self) -> Findings {
        match &mut self.phase {
            Phase::Open { findings, .. } => findings.take().map(|found| *found),
            _ => None,
        }
        .unwrap_or_default()
    }

    fn refusal(&self) -> Option<String> {
        match &self.phase {
            Phase::Refused(refusal) => Some(format!("websocket handshake error: {refusal}")),
            _ => None,
        }
    }
}

fn preset(cookies: Cookies) -> PresetCredentials {
    PresetCredentials {
        user: cookies.user.unwrap_or_default(),
        pass: cookies.pass.unwrap_or_default().into(),
        token: cookies.token.unwrap_or_default().into(),
    }
}

/// The status that nats-server has for the reason.
fn status(reason: CloseReason) -> CloseStatus {
    use CloseReason as Reason;
    match reason {
        Reason::ClientClosed => CloseStatus::NORMAL,
        // The peer of a handshake that failed reads no frames; nats-server has a status for it that must not be sent.
        Reason::TlsHandshakeFailure | Reason::NoRespondersRequiresHeaders => CloseStatus::INTERNAL,
        Reason::AuthenticationTimeout
        | Reason::AuthenticationFailure
        | Reason::SlowConsumerPendingBytes
        | Reason::SlowConsumerWriteDeadline
        | Reason::MaximumConnectionsExceeded
        | Reason::MaximumControlLineExceeded => CloseStatus::POLICY,
        Reason::ParseError | Reason::ProtocolViolation | Reason::BadClientProtocolVersion => {
            CloseStatus::PROTOCOL_ERROR
        }
        Reason::MaximumPayloadExceeded => CloseStatus::TOO_BIG,
        Reason::WriteError
        | Reason::ReadError
        | Reason::StaleConnection
        | Reason::ServerShutdown => CloseStatus::GOING_AWAY,
    }
}

#[cfg(test)]
mod tests;
