//! JetStream requests over a raw connection.

use std::time::Duration;

use serde_json::Value;

use crate::{Message, RawClient, ServerProcess};

/// A raw connection with one inbox for the answers of requests.
pub struct JetStream {
    client: RawClient,
    next: u64,
}

/// What a request brought.
#[derive(Debug)]
pub struct Reply(pub Message);

impl JetStream {
    /// Connects to a server and subscribes the inbox `_INBOX.js.>` as subscription `js`.
    #[must_use]
    #[track_caller]
    pub fn connect(server: &ServerProcess) -> Self {
        let mut client = RawClient::ready(server.port());
        client.send(b"SUB _INBOX.js.> js\r\n");
        client.expect_quiet();
        Self { client, next: 0 }
    }

    /// Publishes to any subject with a fresh reply subject and returns the first answer.
    ///
    /// # Panics
    /// When none comes, or another message comes first.
    #[track_caller]
    pub fn request(&mut self, subject: &str, body: &str) -> Reply {
        self.request_with(subject, &[], body)
    }

    /// As [`Self::request`], with headers.
    ///
    /// # Panics
    /// As there.
    #[track_caller]
    pub fn request_with(&mut self, subject: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let inbox = self.publish(subject, headers, body);
        let message = self.client.message();
        assert_eq!(
            message.subject, inbox,
            "another message came first: {message:?}"
        );
        Reply(message)
    }

    /// Publishes with a fresh reply subject, which is returned, and does not wait.
    #[track_caller]
    pub fn publish(&mut self, subject: &str, headers: &[(&str, &str)], body: &str) -> String {
        self.next += 1;
        let inbox = format!("_INBOX.js.{}", self.next);
        self.publish_to(subject, Some(&inbox), headers, body);
        inbox
    }

    /// As [`Self::request`], with a body that is no text.
    ///
    /// # Panics
    /// As there.
    #[track_caller]
    pub fn request_bytes(&mut self, subject: &str, body: &[u8]) -> Reply {
        self.next += 1;
        let inbox = format!("_INBOX.js.{}", self.next);
        let mut frame = format!("PUB {subject} {inbox} {}\r\n", body.len()).into_bytes();
        frame.extend_from_slice(body);
        frame.extend_from_slice(b"\r\n");
        self.client.send(&frame);
        let message = self.client.message();
        assert_eq!(
            message.subject, inbox,
            "another message came first: {message:?}"
        );
        Reply(message)
    }

    /// Publishes with the reply subject given.
    #[track_caller]
    pub fn publish_to(
        &mut self,
        subject: &str,
        reply: Option<&str>,
        headers: &[(&str, &str)],
        body: &str,
    ) {
        let reply = reply.map(|reply| format!("{reply} ")).unwrap_or_default();
        let text = if headers.is_empty() {
            format!("PUB {subject} {reply}{}\r\n{body}\r\n", body.len())
        } else {
            let mut block = "NATS/1.0\r\n".to_owned();
            for (name, value) in headers {
                block.push_str(&format!("{name}: {value}\r\n"));
            }
            block.push_str("\r\n");
            let total = block.len() + body.len();
            format!(
                "HPUB {subject} {reply}{} {total}\r\n{block}{body}\r\n",
                block.len()
            )
        };
        self.client.send(text.as_bytes());
    }

    /// A request to `$JS.API.<call>` whose answer is a JSON document.
    #[track_caller]
    pub fn api(&mut self, call: &str, body: &str) -> Value {
        self.request(&format!("$JS.API.{call}"), body).json()
    }

    /// The `err_code` of a request that must fail.
    #[track_caller]
    pub fn api_error(&mut self, call: &str, body: &str) -> u64 {
        let answer = self.api(call, body);
        answer["error"]["err_code"]
            .as_u64()
            .unwrap_or_else(|| panic!("{call}: no error in {answer}"))
    }

    /// Creates a stream; `body` is its configuration.
    ///
    /// # Panics
    /// When that fails.
    #[track_caller]
    pub fn create_stream(&mut self, name: &str, body: &str) -> Value {
        let answer = self.api(&format!("STREAM.CREATE.{name}"), body);
        assert!(answer["error"].is_null(), "{answer}");
        answer
    }

    /// Creates a durable consumer; `config` is its configuration without the name.
    ///
    /// # Panics
    /// When that fails.
    #[track_caller]
    pub fn create_consumer(&mut self, stream: &str, name: &str, config: &str) -> Value {
        let comma = if config.is_empty() { "" } else { "," };
        let body = format!(
            "{{\"stream_name\":\"{stream}\",\"config\":{{\"durable_name\":\"{name}\"{comma}{config}}}}}"
        );
        let answer = self.api(&format!("CONSUMER.DURABLE.CREATE.{stream}.{name}"), &body);
        assert!(answer["error"].is_null(), "{answer}");
        answer
    }

    /// Publishes and returns the sequence of the acknowledgement.
    ///
    /// # Panics
    /// When the answer is an error.
    #[track_caller]
    pub fn store(&mut self, subject: &str, body: &str) -> u64 {
        let ack = self.request(subject, body).json();
        ack["seq"]
            .as_u64()
            .filter(|&seq| seq > 0)
            .unwrap_or_else(|| panic!("not stored: {ack}"))
    }

    /// Waits until `read` yields true, asking again every few milliseconds: for state that follows a message.
    ///
    /// # Panics
    /// When that takes more than ten seconds.
    #[track_caller]
    pub fn wait_until(&mut self, what: &str, mut read: impl FnMut(&mut Self) -> bool) {
        for _ in 0..2_000 {
            if read(self) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("never: {what}");
    }

    /// The connection underneath.
    pub fn raw(&mut self) -> &mut RawClient {
        &mut self.client
    }
}

impl Reply {
    /// The body as a JSON document.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.0.payload) {
            Ok(value) => value,
            Err(error) => panic!("{error}: {:?}", self.0),
        }
    }
}
