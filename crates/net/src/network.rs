//! Starting and stopping the network part.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use everjet_conn::{ClientLimits, ServerFacts};
use everjet_routing::Account;
use everjet_values::{Clock, Entropy};
use everjet_wire::ServerInfo;
use mio::{Poll, Waker};
use parking_lot::Mutex;

use crate::listener::{Listener, Listeners, bind};
use crate::load::Loads;
use crate::mailbox::{Accepted, Mail, Mailbox};
use crate::pipe::pair;
use crate::reactor::{Counters, Reactor, Shared, WAKER};
use crate::socket::Socket;
use crate::{Events, InProcessConnection, NetConfig, StartError};

/// How long a shutdown waits for clients that are slow to take what is pending for them.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// The listeners with their reactors. Dropping it shuts it down.
pub struct Network {
    addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<io::Result<()>>>>,
    /// What the server says about itself now.
    facts: Mutex<Arc<ServerFacts>>,
    /// Whether connections from within the process are taken.
    accepting: AtomicBool,
}

/// What is counted since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetCounters {
    /// Connections that were accepted.
    pub connections: u64,
    /// Connections that were closed because they did not take what was sent to them.
    pub slow_consumers: u64,
    /// Connections that were closed because they did not answer PING.
    pub stale_connections: u64,
}

impl Network {
    /// Listens and starts the reactor threads. All connections belong to `account`.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(
        config: NetConfig,
        account: Arc<Account>,
        clock: Arc<dyn Clock>,
        entropy: &dyn Entropy,
        events: Arc<dyn Events>,
    ) -> Result<Self, StartError> {
        let mut addresses = Vec::new();
        let mut listeners = Vec::new();
        for listener in config.listeners {
            let address = listener.address;
            let socket = bind(address).map_err(|cause| StartError::Listen { address, cause })?;
            let address = socket.local_addr()?;
            addresses.push(address);
            listeners.push(Listener::new(socket, listener.plan.at(address)));
        }
        let mut facts = config.facts;
        if let Some(first) = addresses.first()
            && facts.info.port == 0
        {
            facts.info.port = first.port();
        }
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
        let mut listeners = Some(Listeners::register(listeners, polls[0].registry())?);
        let shared = Arc::new(Shared {
            limits: ArcSwap::from_pointee(config.limits),
            facts: Arc::new(facts),
            connections_max: config.connections_max,
            pending_max: config.pending_max,
            write_deadline: config.write_deadline,
            write_timeout: config.write_timeout,
            trace: config.trace,
            account,
            clock,
            events,
            loads: Loads::new(mailboxes.len(), config.placement),
            mailboxes,
            connections: AtomicUsize::new(0),
            last_id: AtomicU64::new(0),
            counters: Counters::default(),
        });
        let network = Self {
            addresses,
            shared: shared.clone(),
            threads: Mutex::new(Vec::with_capacity(count)),
            facts: Mutex::new(shared.facts.clone()),
            accepting: AtomicBool::new(true),
        };
        for (index, poll) in polls.into_iter().enumerate() {
            let seed = entropy.next_u64();
            let own = listeners.take().unwrap_or_default();
            let reactor = Reactor::new(index, shared.clone(), poll, own, seed);
            let thread = std::thread::Builder::new()
                .name(format!("reactor-{index}"))
                .spawn(move || reactor.run())?;
            network.threads.lock().push(thread);
        }
        Ok(network)
    }

    /// Closes the listeners: no connection is accepted any more.
    ///
    /// # Errors
    /// The reactor could not be woken; it follows with its next event.
    pub fn stop_accepting(&self) -> io::Result<()> {
        self.accepting.store(false, Ordering::Release);
        self.shared.mailboxes[0].post(Mail::StopAccepting)
    }

    /// A connection that never touches a socket. It is a client like others: rules, limits and counts are the same.
    ///
    /// # Errors
    /// [`io::ErrorKind::ConnectionRefused`]: no connections are accepted any more.
    pub fn connect_in_process(&self) -> io::Result<InProcessConnection> {
        if !self.accepting.load(Ordering::Acquire) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (pipe, connection) = pair();
        let count = self.shared.connections.fetch_add(1, Ordering::AcqRel) + 1;
        let accepted = Accepted {
            socket: Socket::InProcess(pipe),
            peer: None,
            plan: Arc::default(),
            admission: self.shared.admission(count, false),
        };
        let place = self.shared.loads.place(self.shared.clock.now());
        let mailbox = &self.shared.mailboxes[place];
        if mailbox.post(Mail::Accepted(accepted)).is_err() {
            self.shared.connections.fetch_sub(1, Ordering::AcqRel);
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        Ok(connection)
    }

    /// Changes what the server says about itself, for clients to come and, as soon as they can take it, for those that are there.
    pub fn announce(&self, change: impl FnOnce(&mut ServerInfo)) {
        let mut current = self.facts.lock();
        let mut facts = ServerFacts::clone(&current);
        change(&mut facts.info);
        let facts = Arc::new(facts);
        for mailbox in &self.shared.mailboxes {
            // A reactor that has ended has nobody to tell.
            let _ = mailbox.post(Mail::Announce(facts.clone()));
        }
        *current = facts;
    }

    /// Closes so many connections, or all if there are fewer, as they are closed when the server stops.
    pub fn disconnect(&self, count: usize) {
        let hops = self.shared.mailboxes.len();
        // As above.
        let _ = self.shared.mailboxes[0].post(Mail::Disconnect { count, hops });
    }

    /// Makes every reactor give its connections to the next one, as an overloaded one gives some of them to a calm one. Clients
    /// notice nothing; for tests of that.
    pub fn rotate(&self) {
        for mailbox in &self.shared.mailboxes {
            // A reactor that has ended has none.
            let _ = mailbox.post(Mail::Rotate);
        }
    }

    /// What is counted since the start.
    #[must_use]
    pub fn counters(&self) -> NetCounters {
        let counters = &self.shared.counters;
        NetCounters {
            connections: self.shared.last_id.load(Ordering::Relaxed),
            slow_consumers: counters.slow_consumers.load(Ordering::Relaxed),
            stale_connections: counters.stale_connections.load(Ordering::Relaxed),
        }
    }

    /// Sends what is pending (for at most a second), closes all connections and joins the threads. Nothing happens the
    /// second time. Must not be called from a reactor thread.
    ///
    /// # Errors
    /// A reactor could not be woken, or ended early by an error of its poller or a bug.
    pub fn shutdown(&self) -> io::Result<()> {
        self.accepting.store(false, Ordering::Release);
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

    /// The addresses that are listened on, with their real ports, in the order of the configuration.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Changes the time for authentication, for connections that are accepted from now on.
    pub fn set_auth_timeout(&self, timeout: Duration) {
        self.shared.limits.rcu(|limits| ClientLimits {
            auth_timeout: timeout,
            ..ClientLimits::clone(limits)
        });
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
