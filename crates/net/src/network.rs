//! Starting and stopping the network part.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use everjet_routing::Account;
use everjet_values::{Clock, Entropy};
use mio::{Interest, Poll, Waker};
use parking_lot::Mutex;

use crate::listener::{Listener, bind};
use crate::mailbox::{Mail, Mailbox};
use crate::reactor::{LISTENER, Reactor, Shared, WAKER};
use crate::{Events, NetConfig};

/// How long a shutdown waits for clients that are slow to take what is pending for them.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// The listener for clients with its reactors. Dropping it shuts it down.
pub struct Network {
    address: SocketAddr,
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<io::Result<()>>>>,
}

impl Network {
    /// Listens and starts the reactor threads. All connections belong to `account`.
    ///
    /// # Errors
    /// The address cannot be listened on, or the operating system gives no poller or thread.
    pub fn start(
        config: NetConfig,
        account: Arc<Account>,
        clock: Arc<dyn Clock>,
        entropy: &dyn Entropy,
        events: Arc<dyn Events>,
    ) -> io::Result<Self> {
        let mut socket = bind(config.listen)?;
        let address = socket.local_addr()?;
        let mut facts = config.facts;
        facts.info.port = address.port();
        let count = match config.reactors {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let polls = (0..count)
            .map(|_| Poll::new())
            .collect::<io::Result<Vec<_>>>()?;
        let mailboxes = polls
            .iter()
            .map(|poll| Ok(Arc::new(Mailbox::new(Waker::new(poll.registry(), WAKER)?))))
            .collect::<io::Result<Vec<_>>>()?;
        polls[0]
            .registry()
            .register(&mut socket, LISTENER, Interest::READABLE)?;
        let shared = Arc::new(Shared {
            limits: Arc::new(config.limits),
            facts: Arc::new(facts),
            connections_max: config.connections_max,
            pending_max: config.pending_max,
            write_deadline: config.write_deadline,
            account,
            clock,
            events,
            mailboxes: mailboxes.clone(),
            connections: AtomicUsize::new(0),
            last_id: AtomicU64::new(0),
        });
        let network = Self {
            address,
            shared: shared.clone(),
            threads: Mutex::new(Vec::with_capacity(count)),
        };
        let mut listener = Some(Listener::new(socket));
        for (index, (poll, mailbox)) in polls.into_iter().zip(mailboxes).enumerate() {
            let seed = entropy.next_u64();
            let reactor = Reactor::new(shared.clone(), mailbox, poll, listener.take(), seed);
            let thread = std::thread::Builder::new()
                .name(format!("reactor-{index}"))
                .spawn(move || reactor.run())?;
            network.threads.lock().push(thread);
        }
        Ok(network)
    }

    /// Closes the listener: no connection is accepted any more.
    ///
    /// # Errors
    /// The reactor could not be woken; it follows with its next event.
    pub fn stop_accepting(&self) -> io::Result<()> {
        self.shared.mailboxes[0].post(Mail::StopAccepting)
    }

    /// Sends what is pending (for at most a second), closes all connections and joins the threads. Nothing happens the
    /// second time. Must not be called from a reactor thread.
    ///
    /// # Errors
    /// A reactor could not be woken, or ended early by an error of its poller or a bug.
    pub fn shutdown(&self) -> io::Result<()> {
        let deadline = self.shared.clock.now().plus(FLUSH_MAX);
        let threads = std::mem::take(&mut *self.threads.lock());
        if threads.is_empty() {
            return Ok(());
        }
        for mailbox in &self.shared.mailboxes {
            mailbox.post(Mail::Shutdown(deadline))?;
        }
        let mut result = Ok(());
        for thread in threads {
            let ended = thread.join();
            result =
                result.and(ended.unwrap_or_else(|_| Err(io::Error::other("a reactor panicked"))));
        }
        result
    }

    /// The address that is listened on, with its real port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Number of open connections.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.shared.connections.load(Ordering::Acquire)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // Who wants to know the result calls `shutdown`.
        let _ = self.shutdown();
    }
}
