//! Backups of streams as clients make and restore them.

use serde_json::{Value, json};

use crate::{JetStream, Message};

/// What a backup brought.
#[derive(Debug)]
pub struct Backup {
    /// The answer to the request.
    pub answer: Value,
    /// The messages with the backup, the one that ends it last.
    pub messages: Vec<Message>,
}

impl Backup {
    /// The bytes of the backup.
    #[must_use]
    pub fn data(&self) -> Vec<u8> {
        let bodies = self.messages.iter().map(|message| &message.payload[..]);
        bodies.collect::<Vec<_>>().concat()
    }
}

/// Asks for a backup and acknowledges it until its end. `options` are members of the request besides the subject.
///
/// # Panics
/// When the request is refused or something else comes.
#[track_caller]
pub fn back_up(js: &mut JetStream, stream: &str, options: &Value) -> Backup {
    // Answers to requests come to the inbox, too.
    let mut request = json!({"deliver_subject": "_INBOX.js.backup"});
    let members = request.as_object_mut().expect("an object");
    members.extend(options.as_object().cloned().unwrap_or_default());
    let answer = js.api(&format!("STREAM.SNAPSHOT.{stream}"), &request.to_string());
    assert!(answer["error"].is_null(), "{answer}");
    let mut messages = Vec::new();
    loop {
        let message = js.raw().message();
        assert_eq!(message.subject, "_INBOX.js.backup");
        if let Some(reply) = &message.reply {
            js.publish_to(reply, None, &[], "");
        }
        let is_end = message.payload.is_empty();
        messages.push(message);
        if is_end {
            return Backup { answer, messages };
        }
    }
}

/// Restores a backup in chunks of `chunk` bytes and returns the last answer: the stream or an error.
///
/// # Panics
/// When the request is refused or something else comes.
#[track_caller]
pub fn restore(js: &mut JetStream, config: &Value, data: &[u8], chunk: usize) -> Value {
    let name = config["name"].as_str().expect("a name");
    let request = json!({"config": config}).to_string();
    let answer = js.api(&format!("STREAM.RESTORE.{name}"), &request);
    assert!(answer["error"].is_null(), "{answer}");
    let subject = answer["deliver_subject"].as_str().expect("a subject");
    for piece in data.chunks(chunk) {
        js.request_bytes(subject, piece);
    }
    js.request(subject, "").json()
}
