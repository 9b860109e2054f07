//! How a connection begins: what comes before its text protocol.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use everjet_config::HandshakeFirst;
use everjet_conn::{CloseReason, TlsFacts};
use everjet_values::Timestamp;

use crate::layer::{Layer, Over};
use crate::mailbox::Admission;
use crate::tls::{FirstByte, TlsContext, TlsError, TlsLayer, TlsSwitch};
use crate::websocket::{WebSocket, WebSocketPlan};

/// How connections of one listener begin.
#[derive(Clone, Debug, Default)]
pub struct OpeningPlan {
    /// Whether the header of a proxy may come first, which says where the client connects from (`proxy_protocol`).
    pub proxy_header: bool,
    /// TLS, as long as the switch is on.
    pub tls: TlsSwitch,
    /// Whether clients may do without TLS although it is on.
    pub allow_non_tls: bool,
    /// Most handshakes a second; more are refused.
    pub handshake_rate_max: Option<std::num::NonZeroU32>,
    /// WebSocket with these rules; `None` for plain clients.
    pub websocket: Option<Arc<WebSocketPlan>>,
}

/// What the plan means for one connection.
pub(crate) struct Beginning {
    /// What stands between socket and protocol; `None` when the protocol is spoken on the bare socket.
    pub(crate) layer: Option<Box<dyn Layer>>,
    /// What is waited for; `None` when the client is greeted at once and that is all.
    pub(crate) opening: Option<Opening>,
    /// What INFO says about TLS.
    pub(crate) tls: TlsFacts,
}

/// A connection before its layers are ready for the text protocol.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    /// Whether INFO goes, or went, over the bare socket before the layers begin.
    pub(crate) greeted: bool,
    /// Whether the peer has sent anything.
    pub(crate) begun: bool,
    /// When something else happens.
    pub(crate) deadline: Timestamp,
    /// What then happens to a peer that has sent nothing.
    pub(crate) silence: Silence,
    /// Time for the handshake.
    pub(crate) timeout: Duration,
    /// Whether it is let in; if not it is told so when it can read that.
    pub(crate) admission: Admission,
    /// Whether the peer may do without TLS.
    plain_allowed: bool,
    /// Whether a WebSocket request is waited for, behind TLS or not.
    pub(crate) is_upgrade: bool,
}

/// What becomes of a peer that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// It is closed.
    Close,
    /// The server speaks first, and waits on.
    Greet,
    /// It does without TLS.
    Plain,
}

impl OpeningPlan {
    /// How a connection accepted at `now` begins.
    ///
    /// # Errors
    /// TLS cannot be begun with this context, whoever connects.
    pub(crate) fn begin(
        &self,
        admission: Admission,
        now: Timestamp,
    ) -> Result<Beginning, TlsError> {
        if let Some(websocket) = &self.websocket {
            return self.begin_websocket(websocket, admission, now);
        }
        let Some(context) = self.tls.context() else {
            return Ok(Beginning {
                layer: None,
                opening: None,
                tls: TlsFacts::default(),
            });
        };
        let first = context.handshake_first;
        // Who insists on the handshake first has nothing to say to clients without it.
        let plain_allowed = self.allow_non_tls && first != HandshakeFirst::Always;
        let layers = vec![tls_layer(&context, plain_allowed)?];
        let (greeted, wait, silence) = match first {
            HandshakeFirst::Never if plain_allowed => (true, context.timeout, Silence::Plain),
            HandshakeFirst::Never => (true, context.timeout, Silence::Close),
            HandshakeFirst::Always => (false, context.timeout, Silence::Close),
            HandshakeFirst::Within(delay) => (false, delay, Silence::Greet),
        };
        Ok(Beginning {
            layer: layers
                .into_iter()
                .reduce(|lower, upper| Box::new(Over::new(lower, upper))),
            opening: Some(Opening {
                greeted,
                begun: false,
                deadline: now.plus(wait),
                silence,
                timeout: context.timeout,
                admission,
                plain_allowed,
                is_upgrade: false,
            }),
            tls: TlsFacts {
                required: !plain_allowed,
                available: self.allow_non_tls,
                verify: context.verify,
            },
        })
    }

    /// Nobody is greeted before the request is answered, and everything has one time together.
    fn begin_websocket(
        &self,
        websocket: &Arc<WebSocketPlan>,
        admission: Admission,
        now: Timestamp,
    ) -> Result<Beginning, TlsError> {
        let upper: Box<dyn Layer> = Box::new(WebSocket::new(websocket.clone()));
        let context = self.tls.context();
        let layer = match &context {
            Some(context) => {
                Box::new(Over::new(tls_layer(context, false)?, upper)) as Box<dyn Layer>
            }
            None => upper,
        };
        Ok(Beginning {
            layer: Some(layer),
            opening: Some(Opening {
                greeted: false,
                begun: false,
                deadline: now.plus(websocket.handshake_timeout),
                silence: Silence::Close,
                timeout: websocket.handshake_timeout,
                admission,
                plain_allowed: context.is_none(),
                is_upgrade: true,
            }),
            tls: TlsFacts {
                required: context.is_some(),
                available: context.is_some(),
                verify: false,
            },
        })
    }

    /// The plan of the listener at `address`, whose port is known only now.
    pub(crate) fn at(mut self, address: SocketAddr) -> Self {
        if let Some(websocket) = &mut self.websocket {
            let entrance = &mut Arc::make_mut(websocket).entrance;
            Arc::make_mut(entrance).port = address.port();
        }
        self
    }
}

fn tls_layer(context: &TlsContext, plain_allowed: bool) -> Result<Box<dyn Layer>, TlsError> {
    let tls = TlsLayer::new(context, true)?;
    Ok(if plain_allowed {
        Box::new(FirstByte::Open(Box::new(tls)))
    } else {
        Box::new(tls)
    })
}

/// What a deadline asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Close the connection: its handshake took too long.
    Close(CloseReason),
    /// Send INFO over the bare socket.
    Greet,
    /// Forget the layer; the client does without TLS.
    Plain,
    /// Nothing: there is a later deadline.
    Wait,
}

impl Opening {
    /// Whether a peer that leaves now breaks a handshake off, or never began one.
    pub(crate) fn is_handshake(&self) -> bool {
        self.begun || !self.plain_allowed
    }

    /// Looks at what is due at `now`, and sets the next deadline.
    pub(crate) fn on_deadline(&mut self, now: Timestamp) -> Due {
        let silence = std::mem::replace(&mut self.silence, Silence::Close);
        match (self.begun, silence) {
            (_, Silence::Close) if self.is_upgrade => Due::Close(CloseReason::ReadError),
            (_, Silence::Close) => Due::Close(CloseReason::TlsHandshakeFailure),
            // The time for the handshake begins with it.
            (true, _) => {
                self.deadline = now.plus(self.timeout);
                Due::Wait
            }
            (false, Silence::Greet) => {
                self.greeted = true;
                self.deadline = now.plus(self.timeout);
                if self.plain_allowed {
                    self.silence = Silence::Plain;
                }
                Due::Greet
            }
            (false, Silence::Plain) => Due::Plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening(silence: Silence, plain_allowed: bool) -> Opening {
        Opening {
            greeted: silence != Silence::Greet,
            begun: false,
            deadline: Timestamp::from_nanos(0),
            silence,
            timeout: Duration::from_secs(2),
            admission: Admission::Granted,
            plain_allowed,
            is_upgrade: false,
        }
    }

    #[test]
    fn silence_ends_as_the_plan_says() {
        let now = Timestamp::from_nanos(7);
        let failed = Due::Close(CloseReason::TlsHandshakeFailure);
        let check = |silence, plain_allowed, expected: &[Due]| {
            let mut opening = opening(silence, plain_allowed);
            for due in expected {
                assert_eq!(opening.on_deadline(now), *due, "{silence:?}");
            }
            assert!(opening.greeted);
        };
        check(Silence::Close, false, &[failed]);
        check(Silence::Plain, true, &[Due::Plain]);
        check(Silence::Greet, false, &[Due::Greet, failed]);
        check(Silence::Greet, true, &[Due::Greet, Due::Plain]);
    }

    #[test]
    fn a_handshake_that_began_has_its_own_time() {
        let now = Timestamp::from_nanos(7);
        for silence in [Silence::Plain, Silence::Greet] {
            let mut opening = opening(silence, true);
            opening.begun = true;
            assert_eq!(opening.on_deadline(now), Due::Wait);
            assert_eq!(opening.deadline, now.plus(opening.timeout));
            let failed = Due::Close(CloseReason::TlsHandshakeFailure);
            assert_eq!(opening.on_deadline(now), failed);
        }
    }
}
