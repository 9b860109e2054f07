use std::io::{ErrorKind, Read, Write};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use everjet_routing::ConnectionId;
use mio::Token;

use super::*;

const PLACE: Place = Place {
    slot: 3,
    id: ConnectionId(7),
};

/// A pipe with the mailbox of its reactor, which a poller would read.
struct Attached {
    pipe: Pipe,
    client: InProcessConnection,
    mailbox: Arc<Mailbox>,
    _poll: mio::Poll,
}

fn attached() -> Attached {
    let poll = mio::Poll::new().expect("a poller");
    let waker = mio::Waker::new(poll.registry(), Token(0)).expect("a waker");
    let mailbox = Arc::new(Mailbox::new(waker));
    let (pipe, client) = pair();
    pipe.attach(mailbox.clone(), PLACE);
    Attached {
        pipe,
        client,
        mailbox,
        _poll: poll,
    }
}

impl Attached {
    /// What the reactor was told since the last call.
    fn told(&self) -> Vec<Readiness> {
        let mut mails = Vec::new();
        self.mailbox.take(&mut mails);
        let told = mails.into_iter().map(|mail| match mail {
            Mail::Ready(PLACE, readiness) => readiness,
            other => panic!("{other:?}"),
        });
        told.collect()
    }

    fn read(&self, size: usize) -> Result<Vec<u8>, ErrorKind> {
        let mut buffer = vec![0; size];
        let count = self.pipe.read(&mut buffer).map_err(|error| error.kind())?;
        buffer.truncate(count);
        Ok(buffer)
    }

    fn write(&self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        let slices = [IoSlice::new(bytes)];
        self.pipe.write(&slices).map_err(|error| error.kind())
    }
}

const READABLE: Readiness = Readiness::readable(false);
const ENDED: Readiness = Readiness::readable(true);

#[test]
fn the_reactor_is_told_once_until_it_has_read_everything() {
    let mut both = attached();
    assert_eq!(both.read(9), Err(ErrorKind::WouldBlock));
    both.client.write_all(b"abc").expect("room");
    both.client.write_all(b"def").expect("room");
    assert_eq!(both.told(), [READABLE]);
    assert_eq!(both.read(4), Ok(b"abcd".to_vec()));
    both.client.write_all(b"g").expect("room");
    assert_eq!(both.told(), [], "it has not seen the end of what is there");
    assert_eq!(both.read(9), Ok(b"efg".to_vec()));
    both.client.write_all(b"h").expect("room");
    assert_eq!(both.told(), [READABLE], "a short read is an end");
}

#[test]
fn what_was_written_before_the_reactor_took_over_is_told() {
    let (pipe, mut client) = pair();
    client.write_all(b"early").expect("room");
    let mut both = attached();
    pipe.attach(both.mailbox.clone(), PLACE);
    both.pipe = pipe;
    assert_eq!(both.told(), [READABLE]);
    assert_eq!(both.read(9), Ok(b"early".to_vec()));
}

#[test]
fn a_dropped_client_is_an_end_behind_what_it_wrote() {
    let mut both = attached();
    both.client.write_all(b"last").expect("room");
    let (_, other) = pair();
    let clone = both.client.clone();
    drop(std::mem::replace(&mut both.client, other));
    assert_eq!(both.told(), [READABLE], "a clone is left");
    drop(clone);
    assert_eq!(both.told(), [ENDED]);
    assert_eq!(both.read(9), Ok(b"last".to_vec()));
    assert_eq!(both.read(9), Ok(Vec::new()));
    assert_eq!(both.write(b"x"), Err(ErrorKind::BrokenPipe));
}

#[test]
fn a_full_buffer_makes_the_server_wait_until_half_is_read() {
    let mut both = attached();
    let bytes = vec![7; CAPACITY];
    assert_eq!(both.write(&bytes[..CAPACITY - 1]), Ok(CAPACITY - 1));
    assert_eq!(both.write(b"xyz"), Ok(1));
    assert_eq!(both.write(b"yz"), Err(ErrorKind::WouldBlock));
    let mut half = vec![0; CAPACITY / 2 - 1];
    both.client.read_exact(&mut half).expect("it is there");
    assert_eq!(both.told(), []);
    both.client.read_exact(&mut [0]).expect("it is there");
    assert_eq!(both.told(), [Readiness::WRITABLE]);
    both.client.read_exact(&mut half).expect("it is there");
    both.client.read_exact(&mut half[..1]).expect("it is there");
    assert_eq!(half[0], b'x');
    assert_eq!(both.told(), []);
}

#[test]
fn a_full_buffer_makes_the_client_wait() {
    let mut both = attached();
    both.client
        .set_write_timeout(Some(Duration::from_millis(1)));
    let bytes = vec![7; CAPACITY];
    both.client.write_all(&bytes).expect("room");
    let late = both.client.write(b"x").expect_err("no room");
    assert_eq!(late.kind(), ErrorKind::TimedOut);
    both.client.set_write_timeout(None);
    let mut writer = both.client.clone();
    let writing = thread::spawn(move || writer.write_all(b"x"));
    let mut total = 0;
    while total < CAPACITY + 1 {
        total += both.read(CAPACITY).map_or(0, |bytes| bytes.len());
    }
    writing.join().expect("no panic").expect("room");
}

#[test]
fn the_server_going_away_ends_both_directions() {
    let mut both = attached();
    assert_eq!(both.write(b"bye"), Ok(3));
    let mut reader = both.client.clone();
    let reading = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    drop(both.pipe);
    let text = reading.join().expect("no panic").expect("an end");
    assert_eq!(text, "bye");
    let error = both.client.write(b"x").expect_err("nobody reads");
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

#[test]
fn a_server_that_says_good_bye_still_reads() {
    let mut both = attached();
    both.pipe.shutdown(Shutdown::Write);
    assert_eq!(both.client.read(&mut [0; 9]).expect("an end"), 0);
    both.client.write_all(b"x").expect("somebody reads");
    assert_eq!(both.read(9), Ok(b"x".to_vec()));
    assert_eq!(both.write(b"x"), Err(ErrorKind::BrokenPipe));
}

#[test]
fn a_read_waits_only_as_long_as_it_may() {
    let mut both = attached();
    both.client.set_read_timeout(Some(Duration::from_millis(1)));
    let late = both.client.read(&mut [0]).expect_err("nothing is there");
    assert_eq!(late.kind(), ErrorKind::TimedOut);
}

#[test]
fn after_its_own_shutdown_a_client_reads_nothing() {
    let mut both = attached();
    assert_eq!(both.write(b"late"), Ok(4));
    both.client.shutdown();
    assert_eq!(both.client.read(&mut [0; 9]).expect("an end"), 0);
    let error = both.client.write(b"x").expect_err("it has ended");
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    assert_eq!(both.told(), [ENDED]);
}

#[test]
fn bytes_keep_their_order_whatever_the_sizes() {
    let mut both = attached();
    let mut client = both.client.clone();
    let writing = thread::spawn(move || {
        let mut next = 0u8;
        for size in (1..2_000).step_by(7) {
            let bytes: Vec<u8> = (0..size)
                .map(|_| {
                    next = next.wrapping_add(1);
                    next
                })
                .collect();
            client.write_all(&bytes).expect("the server reads");
        }
        client.shutdown();
    });
    let mut expected = 0u8;
    loop {
        match both.read(333) {
            Ok(bytes) if bytes.is_empty() => break,
            Ok(bytes) => {
                for byte in bytes {
                    expected = expected.wrapping_add(1);
                    assert_eq!(byte, expected);
                }
            }
            Err(kind) => assert_eq!(kind, ErrorKind::WouldBlock),
        }
    }
    writing.join().expect("no panic");
    assert!(both.client.write(b"x").is_err());
}

struct Woken(std::sync::atomic::AtomicUsize);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

#[test]
fn tasks_are_woken_when_it_is_worth_another_try() {
    let mut both = attached();
    let woken = Arc::new(Woken(0.into()));
    let waker = Waker::from(woken.clone());
    let mut context = Context::from_waker(&waker);
    let count = || woken.0.load(std::sync::atomic::Ordering::SeqCst);
    let mut buffer = [0; 9];
    assert!(
        both.client
            .poll_read(&mut context, &mut buffer)
            .is_pending()
    );
    both.write(b"hi").expect("room");
    assert_eq!(count(), 1);
    let Poll::Ready(Ok(2)) = both.client.poll_read(&mut context, &mut buffer) else {
        panic!("it is there");
    };
    both.client.write_all(&vec![1; CAPACITY]).expect("room");
    assert!(both.client.poll_write(&mut context, b"x").is_pending());
    both.read(1).expect("it is there");
    assert_eq!(count(), 2);
    assert!(both.client.poll_write(&mut context, b"x").is_ready());
    assert!(
        both.client
            .poll_read(&mut context, &mut buffer)
            .is_pending()
    );
    both.pipe.shutdown(Shutdown::Both);
    assert_eq!(count(), 3);
}
