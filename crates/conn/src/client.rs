//! The machine of a client connection.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use everjet_values::Timestamp;
use everjet_wire::{DecodeError, Frame, Limits, Message, PING, PONG, put_err};

use crate::keepalive::{Keepalive, Verdict};
use crate::ready::Ready;
use crate::{
    Action, ClientIdentity, ClientLimits, Close, CloseReason, Introduction, Peer, ServerFacts,
    Subscriptions, TlsFacts,
};

/// A client connection from accept to close, without its socket.
///
/// The driver sends [`greeting`](Self::greeting), feeds decoded frames to [`on_frame`](Self::on_frame), calls
/// [`on_data`](Self::on_data) when bytes came and [`on_timer`](Self::on_timer) at the time that
/// [`next_timer`](Self::next_timer) names. Answers for the peer are appended to `out`; they go before what the returned
/// action causes.
#[derive(Debug)]
pub struct Client {
    rules: Arc<ClientLimits>,
    facts: Arc<ServerFacts>,
    peer: Peer,
    tls: TlsFacts,
    limits: Limits,
    phase: Phase,
    keepalive: Keepalive,
    /// Boxed, because most clients have none.
    introduction: Option<Box<Introduction>>,
}

#[derive(Debug)]
enum Phase {
    /// Only a CONNECT with valid credentials leads on, until the deadline.
    Authenticating {
        deadline: Timestamp,
    },
    Ready(Ready),
}

impl Client {
    /// The machine of a connection accepted at `now`.
    #[must_use]
    pub fn new(
        rules: Arc<ClientLimits>,
        facts: Arc<ServerFacts>,
        peer: Peer,
        now: Timestamp,
    ) -> Self {
        // Nobody has to hold a megabyte for a client that may not publish yet: any payload is too large for it.
        let (phase, payload_max) = match &rules.credentials {
            Some(_) => {
                let deadline = now.plus(rules.auth_timeout);
                (Phase::Authenticating { deadline }, 0)
            }
            None => (Phase::Ready(Ready::without_connect()), rules.payload_max),
        };
        Self {
            limits: Limits {
                control_line_max: rules.control_line_max,
                payload_max,
                headers: false,
            },
            keepalive: Keepalive::new(rules.ping_interval, rules.ping_max, now),
            phase,
            rules,
            facts,
            peer,
            tls: TlsFacts::default(),
            introduction: None,
        }
    }

    /// Takes what was found out before the text protocol, which begins at `now`: times count from here. Comes before the greeting.
    pub fn introduce(&mut self, now: Timestamp, introduction: Introduction) {
        self.introduction = Some(Box::new(introduction));
        self.keepalive = Keepalive::new(self.rules.ping_interval, self.rules.ping_max, now);
        if let Phase::Authenticating { deadline } = &mut self.phase {
            *deadline = now.plus(self.rules.auth_timeout);
        }
    }

    /// Says what INFO tells about TLS; without it nothing.
    #[must_use]
    pub fn with_tls(mut self, tls: TlsFacts) -> Self {
        self.tls = tls;
        self
    }

    /// Writes the INFO line that the server speaks first.
    pub fn greeting(&self, out: &mut Vec<u8>) {
        self.put_info(out, false);
    }

    /// Takes over what the server says about itself from now on, and tells the client if it takes INFO at any time.
    pub fn announce(&mut self, facts: Arc<ServerFacts>, out: &mut Vec<u8>) {
        self.facts = facts;
        if self.ready().is_some_and(Ready::takes_info_now) {
            self.put_info(out, false);
        }
    }

    /// Notes where the client connects from, when that is known only after the greeting.
    pub fn set_peer_ip(&mut self, ip: IpAddr) {
        self.peer.ip = Some(ip);
    }

    /// Notes that bytes came; once per read is enough.
    pub fn on_data(&mut self, now: Timestamp) {
        self.keepalive.on_data(now);
    }

    /// Takes one frame.
    ///
    /// # Errors
    /// [`Close`]: the connection ends; an `-ERR` line for the peer, if there is one, is in `out`.
    #[inline]
    pub fn on_frame<'a>(
        &mut self,
        now: Timestamp,
        frame: Frame<'a>,
        subscriptions: &dyn Subscriptions,
        out: &mut Vec<u8>,
    ) -> Result<Action<'a>, Close> {
        let Phase::Ready(ready) = &mut self.phase else {
            return self.on_first_frame(now, frame, out);
        };
        match frame {
            Frame::Publish(message) => Ok(ready.publish(message, out)),
            Frame::Subscribe {
                subject,
                queue,
                sid,
            } => Ok(ready.subscribe(subject, queue, sid, &self.rules, subscriptions, out)),
            Frame::Unsubscribe { sid, max } => Ok(ready.unsubscribe(sid, max, out)),
            Frame::Ping => {
                self.on_ping(out);
                Ok(Action::None)
            }
            Frame::Pong => {
                self.keepalive.on_pong(now);
                Ok(Action::None)
            }
            Frame::Connect(json) => self.on_connect(now, json, out),
            Frame::Info(_) | Frame::Ok => Ok(Action::None),
            Frame::Err(_) => Err(Close {
                reason: CloseReason::ParseError,
            }),
        }
    }

    /// Whether [`Self::on_frame`] would say no more to the message than [`Action::Publish`], so that a driver may publish it
    /// without asking. Wrapping each message of a busy connection in a frame and an action costs half of what publishing it
    /// does.
    #[inline]
    #[must_use]
    pub fn passes(&self, message: &Message<'_>) -> bool {
        matches!(&self.phase, Phase::Ready(ready) if ready.passes(message))
    }

    /// Takes bytes that are no frame.
    pub fn on_decode_error(&mut self, error: DecodeError, out: &mut Vec<u8>) -> Close {
        if self.is_authenticating() {
            return deny(out);
        }
        if let Some(text) = error.error_text() {
            put_err(out, text);
        }
        Close {
            reason: error.into(),
        }
    }

    /// Does what is due at `now`.
    ///
    /// # Errors
    /// [`Close`]: as for [`Self::on_frame`].
    pub fn on_timer(&mut self, now: Timestamp, out: &mut Vec<u8>) -> Result<(), Close> {
        match &self.phase {
            Phase::Authenticating { deadline } if now >= *deadline => Err(close(
                out,
                "Authentication Timeout",
                CloseReason::AuthenticationTimeout,
            )),
            Phase::Ready(ready) if now >= self.keepalive.due() => {
                match self.keepalive.on_due(now, ready.identity.is_some()) {
                    Verdict::Alive => Ok(()),
                    Verdict::Ping => {
                        out.extend_from_slice(PING);
                        Ok(())
                    }
                    Verdict::Stale => {
                        Err(close(out, "Stale Connection", CloseReason::StaleConnection))
                    }
                }
            }
            _ => Ok(()),
        }
    }

    /// Writes the refusal of a connection above `max_connections`. The greeting goes before it.
    pub fn refuse_connection(&self, out: &mut Vec<u8>) -> Close {
        let reason = CloseReason::MaximumConnectionsExceeded;
        close(out, "maximum connections exceeded", reason)
    }

    /// Writes the refusal of a connection above the rate of TLS handshakes. The greeting goes before it.
    pub fn refuse_handshake(&self, out: &mut Vec<u8>) -> Close {
        let text = "Connection throttling is active. Please try again later.";
        close(out, text, CloseReason::MaximumConnectionsExceeded)
    }

    /// When to call [`Self::on_timer`].
    #[must_use]
    pub fn next_timer(&self) -> Timestamp {
        match &self.phase {
            Phase::Authenticating { deadline } => *deadline,
            Phase::Ready(_) => self.keepalive.due(),
        }
    }

    /// What the decoder is to accept now.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether the client's own subscriptions get what it publishes.
    #[must_use]
    pub fn echoes(&self) -> bool {
        self.ready().is_none_or(|ready| ready.echo)
    }

    /// Whether the client understands headers.
    #[must_use]
    pub fn supports_headers(&self) -> bool {
        self.ready().is_some_and(|ready| ready.headers)
    }

    /// Whether the client wants a 503 answer to requests that reach nobody.
    #[must_use]
    pub fn wants_no_responders(&self) -> bool {
        self.ready().is_some_and(|ready| ready.no_responders)
    }

    /// What the client said about itself with CONNECT.
    #[must_use]
    pub fn identity(&self) -> Option<&ClientIdentity> {
        self.ready()?.identity.as_deref()
    }

    /// The account that the client belongs to.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.facts.account
    }

    /// The round trip time that the last answered PING took.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.keepalive.round_trip()
    }

    fn ready(&self) -> Option<&Ready> {
        match &self.phase {
            Phase::Ready(ready) => Some(ready),
            Phase::Authenticating { .. } => None,
        }
    }

    fn is_authenticating(&self) -> bool {
        self.ready().is_none()
    }

    fn on_first_frame<'a>(
        &mut self,
        now: Timestamp,
        frame: Frame<'a>,
        out: &mut Vec<u8>,
    ) -> Result<Action<'a>, Close> {
        match frame {
            Frame::Connect(json) => self.on_connect(now, json, out),
            _ => Err(deny(out)),
        }
    }

    fn on_connect<'a>(
        &mut self,
        now: Timestamp,
        json: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Action<'a>, Close> {
        let before = self.ready().and_then(Ready::repeatable);
        let repeated = before.is_some();
        let options = before.unwrap_or_default().with(json);
        let mut options = options.map_err(|_| Close {
            reason: CloseReason::ProtocolViolation,
        })?;
        if let (Some(introduction), false) = (&self.introduction, repeated) {
            introduction.preset.fill_in(&mut options);
        }
        let shown =
            !(options.user.is_empty() && options.pass.is_empty() && options.auth_token.is_empty());
        let granted = if repeated && !shown {
            // Who was let in and says nothing new about it stays who he is.
            options.user = self
                .identity()
                .map_or_else(String::new, |identity| identity.user.clone());
            true
        } else {
            let credentials = self.rules.credentials.as_ref();
            credentials.is_none_or(|credentials| credentials.accept(&options))
        };
        if !granted || !options.account.is_empty() || options.new_account {
            return Err(deny(out));
        }
        if !matches!(options.protocol, 0 | 1) {
            let reason = CloseReason::BadClientProtocolVersion;
            return Err(close(out, "invalid client protocol", reason));
        }
        let server_headers = self.facts.info.headers;
        if options.no_responders && !(options.headers && server_headers) {
            let text = "no responders requires headers support";
            return Err(close(out, text, CloseReason::NoRespondersRequiresHeaders));
        }
        let pong_sent = self.ready().is_some_and(|ready| ready.pong_sent);
        if self.is_authenticating() {
            self.keepalive = Keepalive::new(self.rules.ping_interval, self.rules.ping_max, now);
        }
        let ready = Ready::connected(options, server_headers, pong_sent);
        ready.acknowledge(out);
        self.limits.headers = ready.headers;
        self.limits.payload_max = self.rules.payload_max;
        self.phase = Phase::Ready(ready);
        Ok(if repeated {
            Action::Reconnected
        } else {
            Action::Connected
        })
    }

    fn on_ping(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(PONG);
        let Phase::Ready(ready) = &mut self.phase else {
            return;
        };
        let first = !std::mem::replace(&mut ready.pong_sent, true);
        if first && ready.takes_info_now() {
            // After the PONG, never before it: clients take the first line after CONNECT and PING for the answer.
            self.put_info(out, true);
        }
    }

    fn put_info(&self, out: &mut Vec<u8>, connected: bool) {
        let mut info = self.facts.info.clone();
        info.client_id = self.peer.id;
        info.client_ip = self.peer.ip.map_or_else(String::new, |ip| ip.to_string());
        info.auth_required = self.rules.credentials.is_some();
        info.max_payload = self.rules.payload_max;
        info.tls_required = self.tls.required;
        info.tls_available = self.tls.available;
        info.tls_verify = self.tls.verify;
        if let Some(introduction) = &self.introduction {
            let entrance = &introduction.entrance;
            info.host.clone_from(&entrance.host);
            info.port = entrance.port;
        }
        if connected {
            info.connect_info = true;
            info.remote_account.clone_from(&self.facts.account);
        }
        out.extend_from_slice(&info.render());
    }
}

fn deny(out: &mut Vec<u8>) -> Close {
    close(
        out,
        "Authorization Violation",
        CloseReason::AuthenticationFailure,
    )
}

fn close(out: &mut Vec<u8>, text: &str, reason: CloseReason) -> Close {
    put_err(out, text);
    Close { reason }
}
