//! Work on many streams: in which order the journal's records are applied, and how several streams are worked on at a time.

use everjet_store::{Disk, Job, JournalRecord, StreamId};
use parking_lot::Mutex;

/// Streams that are worked on at the same time.
const WORKERS: usize = 8;

/// Does `work` with each of the `count` tasks, several at a time where the disk's driver can. No task needs another one.
pub(crate) fn do_each<T>(
    disk: &dyn Disk,
    count: usize,
    tasks: impl Iterator<Item = T> + Send,
    work: impl Fn(T) + Sync,
) {
    let queue = Mutex::new(tasks);
    let worker = || {
        loop {
            // Held for the look only.
            let next = queue.lock().next();
            let Some(task) = next else { return };
            work(task);
        }
    };
    let mut workers = vec![worker; count.min(WORKERS)];
    let mut jobs: Vec<Job<'_>> = Vec::with_capacity(workers.len());
    jobs.extend(workers.iter_mut().map(|worker| worker as Job<'_>));
    disk.do_all(&mut jobs);
}

/// Brings the records of each stream together, in their order, the streams ascending. Those that create and delete streams stay
/// where they are, and no other one moves past them.
pub(crate) fn gather(records: &mut [JournalRecord<'_>]) {
    for part in records.chunk_by_mut(|one, next| is_of_server(one) == is_of_server(next)) {
        if part.is_sorted_by_key(|record| record.stream) {
            continue;
        }
        let mut order: Vec<(StreamId, usize)> = Vec::with_capacity(part.len());
        order.extend(part.iter().map(|record| record.stream).zip(0..));
        order.sort_unstable();
        let mut gathered = Vec::with_capacity(part.len());
        gathered.extend(order.iter().filter_map(|&(_, at)| part.get(at)));
        part.copy_from_slice(&gathered);
    }
}

pub(crate) fn is_of_server(record: &JournalRecord<'_>) -> bool {
    record.stream == StreamId::SERVER
}

#[cfg(test)]
mod tests {
    use everjet_store::Lsn;
    use everjet_values::EntryIndex;

    use super::*;

    /// Records of these streams, and in which order they are after [`gather`]: the stream and the position of each.
    fn check(streams: &[u64], expected: &[(u64, u64)]) {
        let record = |(&stream, lsn)| JournalRecord {
            lsn: Lsn(lsn),
            stream: StreamId(stream),
            entry: EntryIndex(0),
            kind: 0,
            body: &[],
        };
        let mut records: Vec<_> = streams.iter().zip(1..).map(record).collect();
        gather(&mut records);
        let found: Vec<_> = records
            .iter()
            .map(|record| (record.stream.0, record.lsn.0))
            .collect();
        assert_eq!(found, expected, "{streams:?}");
    }

    #[test]
    fn records_of_a_stream_come_together_and_stay_in_order() {
        let server = StreamId::SERVER.0;
        check(&[], &[]);
        check(&[2, 2, 2], &[(2, 1), (2, 2), (2, 3)]);
        check(&[3, 2, 3, 2], &[(2, 2), (2, 4), (3, 1), (3, 3)]);
        check(
            &[5, 2, server, 5, 2, server, server, 2],
            &[
                (2, 2),
                (5, 1),
                (server, 3),
                (2, 5),
                (5, 4),
                (server, 6),
                (server, 7),
                (2, 8),
            ],
        );
    }
}
