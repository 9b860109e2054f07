//! What has to be read from disk before the stream can go on, away from it.

use everjet_consumer::ConsumerId;
use everjet_store::{ColdRead, Fetched};
use everjet_values::Timestamp;

use crate::Output;
use crate::machine::Stream;

/// Reads that are under way together for one stream, and the bytes after which no further one is added: what was read is held until
/// it was delivered.
const READS_MAX: usize = 16;
const READ_BYTES_MAX: usize = 4 << 20;

/// What waits for the disk, and what for. At most one read for each consumer and one for expiry.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    consumers: Vec<(ConsumerId, ColdRead)>,
    expiry: Option<ColdRead>,
    /// Whose reads were taken and not yet admitted.
    taken: Vec<ConsumerId>,
    taken_for_expiry: bool,
}

impl Wanted {
    /// The consumer waits for this, and for nothing else.
    pub(crate) fn set_for(&mut self, consumer: ConsumerId, read: ColdRead) {
        self.forget(consumer);
        self.consumers.push((consumer, read));
    }

    /// The consumer waits for nothing any more.
    pub(crate) fn forget(&mut self, consumer: ConsumerId) {
        if !self.consumers.is_empty() {
            self.consumers.retain(|(id, _)| *id != consumer);
        }
    }

    /// Expiry waits for this.
    pub(crate) fn set_for_expiry(&mut self, read: ColdRead) {
        self.expiry = Some(read);
    }

    /// Whether expiry waits.
    pub(crate) fn is_for_expiry(&self) -> bool {
        self.expiry.is_some() || self.taken_for_expiry
    }
}

impl Stream {
    /// Whether [`take_reads`](Self::take_reads) has something.
    #[must_use]
    pub fn wants_reads(&self) -> bool {
        !self.wanted.consumers.is_empty() || self.wanted.expiry.is_some()
    }

    /// What somebody waits for that is on disk, as much of it as goes together: to be [run](ColdRead::run) away from the stream and [admitted](Self::admit)
    /// together, before this is called again. Everything else goes on meanwhile.
    pub fn take_reads(&mut self) -> Vec<ColdRead> {
        let wanted = &mut self.wanted;
        let mut bytes = 0;
        let all = wanted.consumers.iter().take(READS_MAX);
        let count = all
            .take_while(|(_, read)| {
                // The first one is read however large it is.
                let fits = bytes < READ_BYTES_MAX;
                bytes += read.bytes();
                fits
            })
            .count();
        let mut reads = Vec::with_capacity(count + 1);
        for (id, read) in wanted.consumers.drain(..count) {
            wanted.taken.push(id);
            reads.push(read);
        }
        wanted.taken_for_expiry = wanted.expiry.is_some();
        reads.extend(wanted.expiry.take());
        reads
    }

    /// Takes what was read, until [`release_reads`](Self::release_reads); whoever waited for it is polled next. Returns whether
    /// [`on_timer`](Self::on_timer) should be called.
    pub fn admit(&mut self, fetched: Vec<Fetched>) -> bool {
        self.state.store.admit(fetched);
        for id in std::mem::take(&mut self.wanted.taken) {
            self.leader.mark_ready(id);
        }
        std::mem::take(&mut self.wanted.taken_for_expiry)
    }

    /// Lets go of what was admitted.
    pub fn release_reads(&self) {
        self.state.store.release_reads();
    }

    /// Reads on the spot what was asked for before.
    pub(crate) fn read_wanted(&mut self, now: Timestamp, out: &mut Output) {
        while self.wants_reads() {
            let reads = self.take_reads();
            let fetched = reads.iter().map(ColdRead::run).collect();
            if self.admit(fetched) {
                self.expire(now, out);
            }
        }
        self.release_reads();
    }
}
