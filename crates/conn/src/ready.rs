//! A client that is let in: what it asked for, and what it may do.

use std::num::NonZeroU64;

use everjet_subject::{is_valid_filter, is_valid_literal, tokens};
use everjet_wire::{ConnectOptions, Message, OK, put_err, put_quoted};

use crate::publish::{self, Violation};
use crate::{Action, ClientLimits, Refusal, Subscriptions};

/// The queue group of the server's own subscriptions.
const SYSTEM_QUEUE: &[u8] = b"_sys_";

/// What a client said about itself, for logs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientIdentity {
    /// `name` of CONNECT.
    pub name: String,
    /// `lang` of CONNECT: the language of the client library.
    pub lang: String,
    /// `version` of CONNECT: the version of the client library.
    pub version: String,
    /// `user` of CONNECT; who it really is where credentials are asked for, otherwise what it says.
    pub user: String,
}

/// The phase after authentication.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) verbose: bool,
    pub(crate) pedantic: bool,
    pub(crate) echo: bool,
    pub(crate) no_responders: bool,
    pub(crate) headers: bool,
    /// Whether the client takes INFO at any time (`protocol` 1).
    takes_info: bool,
    pub(crate) pong_sent: bool,
    /// Set by CONNECT. Boxed, because most connections live without anybody asking.
    pub(crate) identity: Option<Box<ClientIdentity>>,
}

impl Ready {
    /// A client that may talk without CONNECT. What CONNECT leaves out has the same defaults.
    pub(crate) fn without_connect() -> Self {
        Self {
            verbose: true,
            pedantic: true,
            echo: true,
            no_responders: false,
            headers: false,
            takes_info: false,
            pong_sent: false,
            identity: None,
        }
    }

    /// A client after its CONNECT; `pong_sent` is whether it had its first PONG before.
    pub(crate) fn connected(
        options: ConnectOptions,
        server_headers: bool,
        pong_sent: bool,
    ) -> Self {
        let headers = options.headers && server_headers;
        let takes_info = options.protocol >= 1;
        Self {
            verbose: options.verbose,
            pedantic: options.pedantic,
            echo: options.echo,
            no_responders: options.no_responders && headers,
            headers,
            takes_info,
            pong_sent,
            identity: Some(Box::new(ClientIdentity {
                name: options.name,
                lang: options.lang,
                version: options.version,
                user: options.user,
            })),
        }
    }

    /// What a CONNECT said, if there was one, as a further one goes on from it. Credentials are not kept.
    pub(crate) fn repeatable(&self) -> Option<ConnectOptions> {
        let identity = self.identity.as_ref()?;
        Some(ConnectOptions {
            verbose: self.verbose,
            pedantic: self.pedantic,
            echo: self.echo,
            no_responders: self.no_responders,
            headers: self.headers,
            protocol: i64::from(self.takes_info),
            name: identity.name.clone(),
            lang: identity.lang.clone(),
            version: identity.version.clone(),
            ..ConnectOptions::default()
        })
    }

    /// Whether the message goes its way and the client is told nothing about it.
    #[inline]
    pub(crate) fn passes(&self, message: &Message<'_>) -> bool {
        !self.verbose && !self.pedantic && publish::check(message).is_ok()
    }

    #[inline]
    pub(crate) fn publish<'a>(&self, message: Message<'a>, out: &mut Vec<u8>) -> Action<'a> {
        if self.pedantic && !is_valid_literal(message.subject) {
            // The client is told, and the message goes its way all the same.
            put_err(out, "Invalid Publish Subject");
        }
        match publish::check(&message) {
            Ok(()) => {
                self.acknowledge(out);
                Action::Publish(message)
            }
            Err(Violation::Subject) => {
                put_violation(out, "Publish to ", message.subject, |_| ());
                Action::Refused(Refusal::Publish(message.subject))
            }
            Err(Violation::Reply) => {
                put_violation(out, "Publish with Reply of ", message.reply, |_| ());
                Action::Refused(Refusal::Reply(message.reply))
            }
        }
    }

    pub(crate) fn subscribe<'a>(
        &self,
        filter: &'a [u8],
        queue: &'a [u8],
        sid: &'a [u8],
        limits: &ClientLimits,
        subscriptions: &dyn Subscriptions,
        out: &mut Vec<u8>,
    ) -> Action<'a> {
        const ACTION: &str = "Subscription to ";
        let refused = Action::Refused(Refusal::Subscribe { filter, queue, sid });
        if !is_valid_filter(filter) {
            put_err(out, "Invalid Subject");
        } else if queue == SYSTEM_QUEUE {
            put_violation(out, ACTION, filter, |out| {
                out.extend_from_slice(b" using queue ");
                put_quoted(out, queue);
            });
            return refused;
        } else if limits.subscription_tokens_max != 0
            && tokens(filter).count() > limits.subscription_tokens_max
        {
            put_violation(out, ACTION, filter, |out| {
                out.extend_from_slice(b", too many tokens");
            });
            return refused;
        } else if subscriptions.contains(sid) {
            self.acknowledge(out);
        } else if limits.subscriptions_max != 0 && subscriptions.reaches(limits.subscriptions_max) {
            put_err(out, "maximum subscriptions exceeded");
        } else {
            self.acknowledge(out);
            return Action::Subscribe {
                filter,
                queue: (!queue.is_empty()).then_some(queue),
                sid,
            };
        }
        Action::None
    }

    pub(crate) fn unsubscribe<'a>(
        &self,
        sid: &'a [u8],
        max: Option<u64>,
        out: &mut Vec<u8>,
    ) -> Action<'a> {
        self.acknowledge(out);
        Action::Unsubscribe {
            sid,
            max: max.and_then(NonZeroU64::new),
        }
    }

    /// Whether INFO may be sent now: not before the first PONG, which clients take for the answer to their CONNECT.
    pub(crate) fn takes_info_now(&self) -> bool {
        self.takes_info && self.pong_sent
    }

    pub(crate) fn acknowledge(&self, out: &mut Vec<u8>) {
        if self.verbose {
            out.extend_from_slice(OK);
        }
    }
}

/// Writes the `-ERR` line of something that the client may not do to a subject; `rest` adds what follows the subject.
fn put_violation(out: &mut Vec<u8>, action: &str, subject: &[u8], rest: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"-ERR 'Permissions Violation for ");
    out.extend_from_slice(action.as_bytes());
    put_quoted(out, subject);
    rest(out);
    out.extend_from_slice(b"'\r\n");
}
