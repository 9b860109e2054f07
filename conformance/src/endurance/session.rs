//! Requests over a connection that may end at any moment.

use std::io;

use serde_json::Value;

use crate::{Message, RawClient};

/// A raw connection with one inbox; every failure is an error and not a panic, for the server is killed under it.
pub(super) struct Session {
    client: RawClient,
    inbox: String,
    next: u64,
}

impl Session {
    /// Subscribes `_INBOX.<name>.>` on a fresh connection.
    pub(super) fn open(port: u16, name: &str) -> io::Result<Self> {
        let mut client = RawClient::try_ready(port)?;
        let inbox = format!("_INBOX.{name}");
        client.try_send(format!("SUB {inbox}.> 1\r\n").as_bytes())?;
        Ok(Self {
            client,
            inbox,
            next: 0,
        })
    }

    /// Sends and waits for the answer to it; answers to earlier requests are passed over.
    pub(super) fn request(&mut self, subject: &str, body: &[u8]) -> io::Result<Message> {
        self.next += 1;
        let reply = format!("{}.{}", self.inbox, self.next);
        self.client.try_send(&frame(subject, &reply, body))?;
        loop {
            let message = self.client.try_message()?;
            if message.subject == reply {
                return Ok(message);
            }
        }
    }

    /// A request to `$JS.API`; its answer.
    pub(super) fn api(&mut self, call: &str, body: &str) -> io::Result<Value> {
        let message = self.request(&format!("$JS.API.{call}"), body.as_bytes())?;
        serde_json::from_slice(&message.payload).map_err(io::Error::other)
    }
}

/// A `PUB` with a reply subject.
pub(super) fn frame(subject: &str, reply: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("PUB {subject} {reply} {}\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes.extend_from_slice(b"\r\n");
    bytes
}
