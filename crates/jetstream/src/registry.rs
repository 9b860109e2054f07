//! The streams of an account, and what the account's subjects lead to.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use everjet_api::StreamConfig;
use everjet_routing::{Account, Sink, Subscription, WatchId};
use everjet_store::StreamId;
use everjet_subject::{FilterSet, collides};
use parking_lot::{Mutex, RwLock};

use crate::actor::{StreamActor, StreamInlet};
use crate::open::OfflineStream;

/// A stream that is served.
struct Served {
    actor: Arc<StreamActor>,
    config: StreamConfig,
    subscriptions: Vec<Arc<Subscription>>,
}

/// The streams of one account.
pub(crate) struct Registry {
    account: Arc<Account>,
    streams: RwLock<BTreeMap<String, Served>>,
    watches: Mutex<HashMap<(StreamId, String), WatchId>>,
    /// Streams that exist and cannot be served, by name.
    offline: RwLock<BTreeMap<String, OfflineStream>>,
}

impl Registry {
    pub(crate) fn new(account: Arc<Account>) -> Self {
        Self {
            account,
            streams: RwLock::default(),
            watches: Mutex::default(),
            offline: RwLock::default(),
        }
    }

    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// The actor of a stream.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<StreamActor>> {
        self.streams
            .read()
            .get(name)
            .map(|served| Arc::clone(&served.actor))
    }

    /// The actor of a stream, and whether its messages can be got directly.
    pub(crate) fn find_for_gets(&self, name: &str) -> Option<(Arc<StreamActor>, bool)> {
        let streams = self.streams.read();
        let served = streams.get(name)?;
        Some((Arc::clone(&served.actor), served.config.allow_direct))
    }

    /// The stream of that name that exists and cannot be served.
    pub(crate) fn offline(&self, name: &str) -> Option<OfflineStream> {
        self.offline.read().get(name).cloned()
    }

    /// Takes note of a stream that cannot be served.
    pub(crate) fn add_offline(&self, stream: OfflineStream) {
        self.offline.write().insert(stream.name.clone(), stream);
    }

    /// The streams that exist and cannot be served, and why.
    pub(crate) fn all_offline(&self) -> BTreeMap<String, String> {
        let offline = self.offline.read();
        let why = |stream: &OfflineStream| (stream.name.clone(), stream.why.clone());
        offline.values().map(why).collect()
    }

    /// Forgets an offline stream.
    pub(crate) fn remove_offline(&self, name: &str) {
        self.offline.write().remove(name);
    }

    /// Whether there is a stream that cannot be served.
    pub(crate) fn has_offline(&self) -> bool {
        !self.offline.read().is_empty()
    }

    /// The configuration of a stream.
    pub(crate) fn config(&self, name: &str) -> Option<StreamConfig> {
        self.streams
            .read()
            .get(name)
            .map(|served| served.config.clone())
    }

    /// All actors, by name.
    pub(crate) fn all(&self) -> Vec<Arc<StreamActor>> {
        self.streams
            .read()
            .values()
            .map(|served| Arc::clone(&served.actor))
            .collect()
    }

    /// No subject leads to a stream any more: the server stops.
    pub(crate) fn close_inlets(&self) {
        let subscriptions: Vec<_> = self
            .streams
            .read()
            .values()
            .flat_map(|served| served.subscriptions.clone())
            .collect();
        self.account.unsubscribe_all(&subscriptions);
    }

    /// Lets go of all streams: the server has stopped.
    pub(crate) fn close(&self) {
        let streams = std::mem::take(&mut *self.streams.write());
        for served in streams.into_values() {
            self.keep_watches(served.actor.id, |_| false);
            served.actor.close();
        }
    }

    /// All configurations, by name.
    pub(crate) fn configs(&self) -> Vec<StreamConfig> {
        self.streams
            .read()
            .values()
            .map(|served| served.config.clone())
            .collect()
    }

    /// Names of the streams that store something `filter` could match; all for an empty filter.
    pub(crate) fn names(&self, filter: &str) -> Vec<String> {
        let streams = self.streams.read();
        let wanted = |served: &Served| {
            filter.is_empty()
                || served
                    .config
                    .subjects
                    .iter()
                    .any(|subject| collides(subject.as_bytes(), filter.as_bytes()))
        };
        streams
            .iter()
            .filter(|(_, served)| wanted(served))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Whether a stream other than `except` stores something that `subjects` could match.
    pub(crate) fn overlaps(&self, subjects: &[String], except: &str) -> bool {
        let ours: FilterSet = subjects.iter().map(|subject| subject.as_bytes()).collect();
        let streams = self.streams.read();
        streams
            .iter()
            .filter(|(name, _)| *name != except)
            .flat_map(|(_, served)| &served.config.subjects)
            .any(|theirs| ours.collides(theirs.as_bytes()).is_some())
    }

    /// Begins to serve a stream: from now on its subjects lead to it.
    pub(crate) fn insert(&self, actor: &Arc<StreamActor>, config: StreamConfig) {
        let subscriptions = self.subscribe(actor, &config.subjects);
        let served = Served {
            actor: Arc::clone(actor),
            config,
            subscriptions,
        };
        self.streams.write().insert(actor.name.to_string(), served);
    }

    /// Takes over a changed configuration: subjects that it no longer has stop leading to the stream, new ones begin to.
    pub(crate) fn update(&self, name: &str, config: StreamConfig) {
        let Some((actor, old)) = self
            .streams
            .read()
            .get(name)
            .map(|served| (Arc::clone(&served.actor), served.subscriptions.clone()))
        else {
            return;
        };
        let stays = |subscription: &Arc<Subscription>| {
            config
                .subjects
                .iter()
                .any(|subject| subject.as_bytes() == subscription.filter())
        };
        let (mut kept, dropped): (Vec<_>, Vec<_>) = old.into_iter().partition(stays);
        let added: Vec<String> = config
            .subjects
            .iter()
            .filter(|subject| {
                !kept
                    .iter()
                    .any(|subscription| subscription.filter() == subject.as_bytes())
            })
            .cloned()
            .collect();
        kept.extend(self.subscribe(&actor, &added));
        self.account.unsubscribe_all(&dropped);
        if let Some(served) = self.streams.write().get_mut(name) {
            served.config = config;
            served.subscriptions = kept;
        }
    }

    /// Stops serving a stream.
    pub(crate) fn remove(&self, name: &str) {
        let Some(served) = self.streams.write().remove(name) else {
            return;
        };
        self.account.unsubscribe_all(&served.subscriptions);
        self.keep_watches(served.actor.id, |_| false);
    }

    /// Has the stream told when somebody subscribes to, or leaves, the deliver subject of one of its consumers.
    pub(crate) fn watch(&self, actor: &Arc<StreamActor>, consumer: &str, deliver_subject: &str) {
        let id = self.account.watch(
            deliver_subject.as_bytes(),
            Arc::new(StreamInlet(Arc::clone(actor))),
        );
        if let Some(old) = self
            .watches
            .lock()
            .insert((actor.id, consumer.to_owned()), id)
        {
            self.account.unwatch(old);
        }
    }

    /// Ends the watches for consumers of a stream that `lives` does not know.
    pub(crate) fn keep_watches(&self, stream: StreamId, lives: impl Fn(&str) -> bool) {
        let mut ended = Vec::new();
        self.watches.lock().retain(|(id, consumer), watch| {
            let keep = *id != stream || lives(consumer);
            if !keep {
                ended.push(*watch);
            }
            keep
        });
        for watch in ended {
            self.account.unwatch(watch);
        }
    }

    fn subscribe(&self, actor: &Arc<StreamActor>, subjects: &[String]) -> Vec<Arc<Subscription>> {
        let inlet = Arc::new(StreamInlet(Arc::clone(actor)));
        subjects
            .iter()
            .map(|subject| {
                let sink = Sink::Local(Arc::clone(&inlet) as _);
                let subscription = Arc::new(Subscription::new(subject.as_bytes(), None, b"", sink));
                self.account.subscribe(Arc::clone(&subscription));
                subscription
            })
            .collect()
    }
}
