//! What a row of this group has at hand: the executable, its share of the full size, and the prepared stores.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use everjet_conformance::ServerProcess;

use super::data::{Data, Set};
use super::{memory, ready};
use crate::rows::LAZY;

/// Which of the two servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    Ours,
    Reference,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ours => "ours",
            Self::Reference => "reference",
        })
    }
}

/// One run of one server.
pub(crate) struct Site<'a> {
    pub(crate) executable: &'a Path,
    pub(crate) who: Who,
    /// How long to measure, where that is a matter of time.
    pub(crate) length: Duration,
    /// Share of the full number of messages, keys and streams.
    pub(crate) scale: f64,
    pub(crate) stores: &'a mut Stores,
}

impl Site<'_> {
    /// A server in an empty directory.
    pub(crate) fn start(&self, config: &str) -> ServerProcess {
        ServerProcess::start_with(self.executable, config, &[])
    }

    /// What the prepared store holds at this scale.
    pub(crate) fn set(&self, data: Data) -> Set {
        Set::new(data, self.scale)
    }

    /// The stopped server of a prepared store, which is loaded if this is the first to ask. Goes back with [`Self::keep`].
    pub(crate) fn take(&mut self, data: Data) -> ServerProcess {
        let prepared = self.stores.0.remove(&(self.who, data));
        prepared.unwrap_or_else(|| {
            let mut server = self.load(data);
            server.terminate();
            server
        })
    }

    /// A running server that has just been loaded, in place of a prepared one. Goes back with [`Self::keep`].
    pub(crate) fn load(&mut self, data: Data) -> ServerProcess {
        self.stores.0.remove(&(self.who, data));
        let server = self.start(LAZY);
        eprintln!("  {:<9} loading {data:?}", self.who);
        self.set(data).load(&server);
        server
    }

    /// As [`Self::take`], and started.
    pub(crate) fn take_running(&mut self, data: Data) -> ServerProcess {
        let mut server = self.take(data);
        server.spawn_again();
        ready::wait_until_answering(&server, &self.set(data));
        server
    }

    /// Stops the server if it runs and keeps its directory for later runs.
    pub(crate) fn keep(&mut self, data: Data, mut server: ServerProcess) {
        if server.pid().is_some() {
            server.terminate();
        }
        self.stores.0.insert((self.who, data), server);
    }

    /// Resident bytes of a server without any stream.
    pub(crate) fn empty_bytes(&self) -> u64 {
        memory::settled(&self.start(LAZY))
    }
}

/// The stopped servers of the prepared stores; their directories go with them.
#[derive(Default)]
pub(crate) struct Stores(HashMap<(Who, Data), ServerProcess>);

impl Stores {
    /// Removes what no later row needs: the disk may be small.
    pub(crate) fn keep_only(&mut self, needed: impl Fn(Data) -> bool) {
        self.0.retain(|(_, data), _| needed(*data));
    }
}
