//! `$JS.SNAPSHOT.>`: acknowledgements of backups that are sent, and chunks of those that are received.

use std::sync::Arc;

use everjet_routing::{LocalReceiver, MessageBatch, Turn};

use super::upload::Chunk;
use super::{Backups, Session};
use crate::registry::Registry;

/// Takes `$JS.SNAPSHOT.ACK.>` and `$JS.SNAPSHOT.RESTORE.>`.
pub(crate) struct BackupInlet {
    registry: Arc<Registry>,
    backups: Arc<Backups>,
}

impl BackupInlet {
    pub(crate) fn new(registry: Arc<Registry>, backups: Arc<Backups>) -> Self {
        Self { registry, backups }
    }
}

impl LocalReceiver for BackupInlet {
    fn receive(&self, batch: &mut MessageBatch, turn: &mut Turn) {
        for (message, origin) in batch.iter() {
            let session = name_of(message.subject).and_then(|name| self.backups.session(name));
            match session {
                Some(Session::Sending(window)) => window.acknowledge(),
                Some(Session::Receiving(upload)) => upload.push(Chunk {
                    body: message.payload.to_vec(),
                    reply: message.reply.to_vec(),
                }),
                // nats-server has no subscription for what is over.
                None => turn.answer_no_responders(
                    self.registry.account(),
                    origin,
                    message.subject,
                    message.reply,
                ),
            }
        }
    }
}

/// The backup that a subject names: `$JS.SNAPSHOT.ACK.<stream>.<name>.<bytes>.<chunk>` or `$JS.SNAPSHOT.RESTORE.<stream>.<name>`.
fn name_of(subject: &[u8]) -> Option<&str> {
    std::str::from_utf8(subject).ok()?.split('.').nth(4)
}
