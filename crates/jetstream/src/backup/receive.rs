//! Receiving a backup: chunks are unpacked and taken in as they come, each is answered when that is done.

use std::sync::Arc;

use everjet_api::{
    AdvisedClient, ErrorCode, ResponseType, RestoreCompleted, StreamConfig, StreamCreateResponse,
    StreamInfo, render_error, render_response,
};
use everjet_routing::{Message, Origin, Turn};
use everjet_values::Timestamp;

use super::reader::Reader;
use super::upload::{Chunk, Upload};
use crate::host::Host;
use crate::report::Level;

/// A backup that is being received.
pub(crate) struct Receiver {
    host: Arc<Host>,
    /// What subjects call it.
    name: String,
    stream: String,
    client: AdvisedClient,
    started: Timestamp,
    upload: Arc<Upload>,
    reader: Result<Reader, String>,
    bytes: u64,
}

impl Receiver {
    /// Receives a stream of this configuration, which has its defaults filled in.
    pub(crate) fn new(
        host: &Arc<Host>,
        name: String,
        config: StreamConfig,
        client: AdvisedClient,
    ) -> Self {
        Self {
            name,
            stream: config.name.clone(),
            client,
            started: host.seams.clock.now(),
            upload: Arc::default(),
            reader: Ok(Reader::new(Arc::clone(host), config)),
            bytes: 0,
            host: Arc::clone(host),
        }
    }

    pub(super) fn upload(&self) -> Arc<Upload> {
        Arc::clone(&self.upload)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn stream(&self) -> &str {
        &self.stream
    }

    /// Takes in what comes, until the end or until nothing comes any more.
    pub(super) fn run(mut self, turn: &mut Turn) {
        while let Some(chunk) = self.upload.next() {
            if chunk.body.is_empty() {
                return self.end(&chunk, turn);
            }
            self.bytes += chunk.body.len() as u64;
            if let Ok(reader) = &mut self.reader
                && let Err(why) = reader.take(&chunk.body)
            {
                reader.abandon();
                self.reader = Err(why);
            }
            let answer = match &self.reader {
                Ok(_) => Vec::new(),
                Err(why) => failed(why),
            };
            self.reply(&chunk.reply, &answer, turn);
        }
        if let Ok(reader) = &mut self.reader {
            reader.abandon();
        }
        let text = format!("restore of stream {}: the rest did not come", self.stream);
        self.host.seams.report.report(Level::Warn, &text);
    }

    fn end(mut self, chunk: &Chunk, turn: &mut Turn) {
        let reader = std::mem::replace(&mut self.reader, Err(String::new()));
        let finished = reader.and_then(|reader| reader.finish(turn));
        let (level, text) = match &finished {
            Ok(_) => (Level::Info, format!("restored stream {}", self.stream)),
            Err(why) => (
                Level::Warn,
                format!("restore of stream {} failed: {why}", self.stream),
            ),
        };
        self.host.seams.report.report(level, &text);
        let answer = match finished {
            Ok(info) => restored(info),
            Err(why) => failed(&why),
        };
        self.reply(&chunk.reply, &answer, turn);
        let advice = RestoreCompleted {
            stream: &self.stream,
            start: self.started,
            end: self.host.seams.clock.now(),
            bytes: self.bytes,
            client: &self.client,
        };
        let subject = format!("$JS.EVENT.ADVISORY.STREAM.RESTORE_COMPLETE.{}", self.stream);
        self.host.advisories.tell(&subject, &advice, turn);
    }

    fn reply(&self, subject: &[u8], payload: &[u8], turn: &mut Turn) {
        if subject.is_empty() {
            return;
        }
        let message = Message {
            subject,
            reply: b"",
            headers: b"",
            payload,
        };
        turn.publish(self.host.registry.account(), Origin::SERVER, &message);
        turn.flush();
    }
}

fn restored(info: StreamInfo) -> Vec<u8> {
    let response = StreamCreateResponse {
        info,
        did_create: false,
    };
    render_response(ResponseType::StreamCreate, Ok(&response))
}

fn failed(why: &str) -> Vec<u8> {
    render_error(
        ResponseType::StreamCreate,
        &ErrorCode::StreamRestore.because(why),
    )
}
