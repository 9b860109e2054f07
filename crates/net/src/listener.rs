//! Accepting connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use everjet_values::Timestamp;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

use crate::opening::OpeningPlan;
use crate::throttle::Throttle;

/// Connections that the operating system holds before they are accepted.
const BACKLOG: i32 = 4096;

/// Connections accepted per turn; the rest waits for the next one.
const ACCEPTS_PER_TURN: usize = 256;

/// Tokens from here on are listeners; connections are below, the waker is above all of them.
const TOKENS_FROM: usize = usize::MAX - 1024;

const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Binds the listening socket, ready for an IPv6 wildcard address to take IPv4 too.
///
/// # Errors
/// What the operating system says about the address.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// The listening socket with its memory of trouble.
pub(crate) struct Listener {
    socket: TcpListener,
    /// How its connections begin.
    pub(crate) plan: Arc<OpeningPlan>,
    throttle: Option<Throttle>,
    backoff: Backoff,
    /// Whether connections may be waiting: the poller tells only of new ones.
    ready: bool,
}

impl Listener {
    pub(crate) fn new(socket: TcpListener, plan: OpeningPlan) -> Self {
        Self {
            socket,
            throttle: plan.handshake_rate_max.map(Throttle::new),
            plan: Arc::new(plan),
            backoff: Backoff::default(),
            ready: false,
        }
    }

    /// Accepts what waits, a bounded number of connections; `take` is told whether one is above the rate of handshakes.
    ///
    /// # Errors
    /// Accepting failed, for example because there are no file descriptors left; it pauses, and goes on by itself.
    pub(crate) fn accept(
        &mut self,
        now: Timestamp,
        mut take: impl FnMut(TcpStream, SocketAddr, bool),
    ) -> io::Result<()> {
        if !self.ready || self.backoff.next_try(now) > now {
            return Ok(());
        }
        for _ in 0..ACCEPTS_PER_TURN {
            match self.socket.accept() {
                Ok((socket, peer)) => {
                    self.backoff = Backoff::default();
                    let throttle = self.throttle.as_mut();
                    let is_throttled = throttle.is_some_and(|throttle| !throttle.admits(now));
                    take(socket, peer, is_throttled);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => {
                        self.ready = false;
                        return Ok(());
                    }
                    // The client was gone before it was accepted: the next one may be there.
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => {}
                    _ => {
                        self.backoff.fail(now);
                        return Err(error);
                    }
                },
            }
        }
        Ok(())
    }

    /// How many connections were above the rate of handshakes, when that is to be told.
    pub(crate) fn take_throttled(&mut self, now: Timestamp) -> Option<u64> {
        self.throttle.as_mut()?.take_refused(now)
    }

    /// When to call [`Self::accept`] and [`Self::take_throttled`] although the poller says nothing.
    fn next_try(&self, now: Timestamp) -> Option<Timestamp> {
        let accept = self.ready.then(|| self.backoff.next_try(now));
        let report = self.throttle.as_ref().and_then(Throttle::report_at);
        accept.into_iter().chain(report).min()
    }
}

/// The listeners of one reactor. Their order gives their tokens.
#[derive(Default)]
pub(crate) struct Listeners(Vec<Listener>);

impl Listeners {
    /// Registers the listeners with the reactor's poller.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn register(mut listeners: Vec<Listener>, registry: &Registry) -> io::Result<Self> {
        for (index, listener) in listeners.iter_mut().enumerate() {
            let token = Token(TOKENS_FROM + index);
            registry.register(&mut listener.socket, token, Interest::READABLE)?;
        }
        Ok(Self(listeners))
    }

    /// Notes that connections are waiting, if the token is a listener's. Returns whether it is.
    pub(crate) fn on_ready(&mut self, token: Token) -> bool {
        let Some(index) = token.0.checked_sub(TOKENS_FROM) else {
            return false;
        };
        if let Some(listener) = self.0.get_mut(index) {
            listener.ready = true;
        }
        true
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Listener> {
        self.0.iter_mut()
    }

    /// When to accept although the poller says nothing.
    pub(crate) fn next_try(&self, now: Timestamp) -> Option<Timestamp> {
        self.0
            .iter()
            .filter_map(|listener| listener.next_try(now))
            .min()
    }

    /// Closes all of them.
    pub(crate) fn close(&mut self) {
        self.0.clear();
    }
}

/// When to accept again after failures in a row: each doubles the pause.
#[derive(Debug, Default)]
struct Backoff {
    failed: Option<(Duration, Timestamp)>,
}

impl Backoff {
    fn fail(&mut self, now: Timestamp) {
        let pause = match self.failed {
            Some((pause, _)) => (pause * 2).min(PAUSE_MAX),
            None => PAUSE_MIN,
        };
        self.failed = Some((pause, now.plus(pause)));
    }

    fn next_try(&self, now: Timestamp) -> Timestamp {
        self.failed.map_or(now, |(_, at)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_second() {
        let mut backoff = Backoff::default();
        let now = Timestamp::from_nanos(5);
        assert_eq!(backoff.next_try(now), now);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            backoff.fail(now);
            pauses.push(backoff.next_try(now).since(now).as_millis());
        }
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
    }
}
