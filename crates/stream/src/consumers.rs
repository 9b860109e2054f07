//! Creating, changing and deleting consumers.

use everjet_api::{
    ApiError, ConsumerAction, ConsumerConfig, ConsumerEvent, ConsumerInfo, ErrorCode, Retention,
};
use everjet_consumer::{
    Consumer, ConsumerId, ConsumerRules, Dispatcher, check_update, normalise_config,
};
use everjet_subject::collides;
use everjet_values::Timestamp;

use crate::Output;
use crate::command::Command;
use crate::info;
use crate::limits::limit;
use crate::machine::Stream;

/// Most consumers of a stream that sets no limit, as in nats-server.
const CONSUMERS_MAX: u64 = 1000;

/// A request for a consumer.
#[derive(Clone, Debug)]
pub struct CreateConsumer {
    /// What it shall be.
    pub config: ConsumerConfig,
    /// Whether it must exist already.
    pub action: ConsumerAction,
    /// Refuse the request instead of changing a value in it.
    pub pedantic: bool,
}

impl Stream {
    /// Creates a consumer, or changes an existing one of the same name. A consumer without name gets `free_name`.
    ///
    /// # Errors
    /// The error of the first rule that is broken.
    pub fn create_consumer(
        &mut self,
        now: Timestamp,
        request: CreateConsumer,
        free_name: String,
        interest: &mut dyn FnMut(&[u8]) -> bool,
        out: &mut Output,
    ) -> Result<ConsumerInfo, ApiError> {
        let rules = ConsumerRules {
            stream: &self.state.config,
            pedantic: request.pedantic,
        };
        // A consumer whose threshold is filled in is never the same as one that is asked for, for nats-server fills it in later.
        let threshold = request.config.inactive_threshold;
        let limit = self.state.config.consumer_limits.inactive_threshold;
        let may_be_same = request.config.is_durable() || threshold.0 > 0 || limit.0 > 0;
        let must_be_new = request.action == ConsumerAction::Create && !may_be_same;
        let config = normalise_config(request.config, &rules)?;
        let name = match config.effective_name() {
            "" => free_name,
            name => name.to_owned(),
        };
        out.sync_wanted = true;
        match self.state.names.get(&name).copied() {
            Some(_) if must_be_new => return Err(ErrorCode::ConsumerAlreadyExists.error()),
            Some(id) => self.update_consumer(now, id, config, request.action, interest, out)?,
            None if request.action == ConsumerAction::Update => {
                return Err(ErrorCode::ConsumerDoesNotExist.error());
            }
            None => self.add_consumer(now, &name, config, out)?,
        }
        let bound = self.state.consumer(&name).map(|consumer| consumer.id);
        if let Some(id) = bound {
            self.look_for_subscriber(now, id, interest);
        }
        self.consumer_info(now, &name)
    }

    /// Deletes a consumer; whoever waits for messages is told.
    ///
    /// # Errors
    /// [`ErrorCode::ConsumerNotFound`].
    pub fn delete_consumer(
        &mut self,
        _now: Timestamp,
        name: &str,
        out: &mut Output,
    ) -> Result<(), ApiError> {
        let id = self.state.names.get(name).copied();
        let id = id.ok_or_else(|| ErrorCode::ConsumerNotFound.error())?;
        self.drop_consumer(id, out);
        out.sync_wanted = true;
        Ok(())
    }

    /// What a consumer says about itself. Whether a push consumer is bound is what the last look for a subscriber found;
    /// the poll that ends this turn looks again.
    ///
    /// # Errors
    /// [`ErrorCode::ConsumerNotFound`].
    pub fn consumer_info(&mut self, now: Timestamp, name: &str) -> Result<ConsumerInfo, ApiError> {
        let Self { state, leader, .. } = self;
        let consumer = state
            .consumer(name)
            .ok_or_else(|| ErrorCode::ConsumerNotFound.error())?;
        if consumer.config.is_push() {
            leader.mark_ready(consumer.id);
        }
        let dispatcher = leader.dispatcher(consumer.id);
        Ok(info::consumer(state, now, consumer, dispatcher))
    }

    /// The names of the consumers, sorted.
    #[must_use]
    pub fn consumer_names(&self) -> Vec<&str> {
        self.state.names.keys().map(String::as_str).collect()
    }

    /// All consumers.
    pub fn consumers(&self) -> impl Iterator<Item = &Consumer> {
        self.state.consumers.values()
    }

    /// Deletes a consumer that is there.
    pub(crate) fn drop_consumer(&mut self, id: ConsumerId, out: &mut Output) {
        let consumer = self.state.consumers.get(&id);
        let filters = consumer.map(owned_filters).unwrap_or_default();
        if let Some(consumer) = consumer {
            self.advisories.push(&consumer.name, ConsumerEvent::Deleted);
        }
        if let Some(mut dispatcher) = self.leader.remove(id) {
            dispatcher.end_deleted(&mut out.sends);
        }
        match self.state.consumers.get(&id) {
            Some(consumer) if consumer.is_volatile() => {
                self.flush(out);
                self.state.remove_consumer(id);
            }
            Some(_) => {
                self.commit(&Command::ConsumerDeleted { consumer: id }, out);
            }
            None => {}
        }
        self.after_filters_changed(&filters, out);
    }

    /// Consumers do not want any more what some wanted before: `filters` say what that may be, none of them everything.
    pub(crate) fn after_filters_changed(&mut self, filters: &[Vec<u8>], out: &mut Output) {
        self.interest.forget();
        let filters: Vec<&[u8]> = filters.iter().map(Vec::as_slice).collect();
        self.remove_unwanted(&filters, out);
    }

    /// On a work queue each message is for one consumer: refuses filters that another one has, too.
    fn check_is_only_one(
        &self,
        config: &ConsumerConfig,
        itself: Option<ConsumerId>,
    ) -> Result<(), ApiError> {
        if self.state.config.retention != Retention::WorkQueue {
            return Ok(());
        }
        let others = self.state.consumers.values();
        let mut others = others.filter(|other| Some(other.id) != itself).peekable();
        let filters = config.filters();
        if filters.is_empty() && others.peek().is_some() {
            return Err(ErrorCode::ConsumerWorkQueueMultipleUnfiltered.error());
        }
        let shares = |other: &Consumer| {
            let theirs = other.filters();
            let with = |one: &&str| theirs.iter().any(|two| collides(one.as_bytes(), two));
            theirs.is_empty() || filters.iter().any(with)
        };
        if others.any(shares) {
            return Err(ErrorCode::ConsumerWorkQueueNotUnique.error());
        }
        Ok(())
    }

    fn add_consumer(
        &mut self,
        now: Timestamp,
        name: &str,
        config: ConsumerConfig,
        out: &mut Output,
    ) -> Result<(), ApiError> {
        let most = limit(self.state.config.max_consumers).unwrap_or(CONSUMERS_MAX);
        if self.state.consumers.len() as u64 >= most {
            return Err(ErrorCode::MaximumConsumersLimit.error());
        }
        self.check_is_only_one(&config, None)?;
        let id = if config.mem_storage {
            let id = self.leader.next_volatile();
            self.state.create_consumer(id, name, now, config);
            id
        } else {
            let json = serde_json::to_vec(&config).expect("a configuration has string keys");
            let command = Command::ConsumerCreated {
                time: now,
                name,
                config: &json,
            };
            self.commit(&command, out);
            ConsumerId(self.state.entry.0)
        };
        self.interest.forget();
        self.serve_consumer(now, id);
        self.advisories.push(name, ConsumerEvent::Created);
        self.tell_pause(now, id);
        Ok(())
    }

    fn update_consumer(
        &mut self,
        now: Timestamp,
        id: ConsumerId,
        config: ConsumerConfig,
        action: ConsumerAction,
        interest: &mut dyn FnMut(&[u8]) -> bool,
        out: &mut Output,
    ) -> Result<(), ApiError> {
        let config = self.keep_pause(now, id, config);
        let Some(consumer) = self.state.consumers.get(&id) else {
            return Err(ErrorCode::ConsumerNotFound.error());
        };
        // Asking again for what is there is no change, whatever the action.
        if consumer.config == config {
            return Ok(());
        }
        if action == ConsumerAction::Create {
            return Err(ErrorCode::ConsumerAlreadyExists.error());
        }
        check_update(&consumer.config, &config)?;
        let filters_change = consumer.config.filters() != config.filters();
        if filters_change {
            self.check_is_only_one(&config, Some(id))?;
        }
        let filters_before = owned_filters(consumer);
        let deliver_subject = &consumer.config.deliver_subject;
        if *deliver_subject != config.deliver_subject && interest(deliver_subject.as_bytes()) {
            return Err(ErrorCode::ConsumerNameExists.error());
        }
        self.set_consumer_config(id, config, out);
        let Self { state, leader, .. } = self;
        if let Some(consumer) = state.consumers.get(&id)
            && let Some(dispatcher) = leader.dispatcher(id)
        {
            dispatcher.on_update(now, consumer, &state.store);
            leader.mark_ready(id);
            leader.schedule(id);
        }
        if filters_change {
            self.after_filters_changed(&filters_before, out);
        }
        Ok(())
    }

    /// Gives a consumer another configuration.
    pub(crate) fn set_consumer_config(
        &mut self,
        id: ConsumerId,
        config: ConsumerConfig,
        out: &mut Output,
    ) {
        let is_volatile = self.state.consumers.get(&id).map(Consumer::is_volatile);
        if is_volatile != Some(true) {
            let json = serde_json::to_vec(&config).expect("a configuration has string keys");
            let command = Command::ConsumerUpdated {
                consumer: id,
                config: &json,
            };
            self.commit(&command, out);
            return;
        }
        self.flush(out);
        if let Some(consumer) = self.state.consumers.get_mut(&id) {
            consumer.config = config;
        }
    }

    fn serve_consumer(&mut self, now: Timestamp, id: ConsumerId) {
        let Self { state, leader, .. } = self;
        if let Some(consumer) = state.consumers.get(&id) {
            leader.add(id, Dispatcher::new(now, consumer, &state.store));
        }
    }

    fn look_for_subscriber(
        &mut self,
        now: Timestamp,
        id: ConsumerId,
        interest: &mut dyn FnMut(&[u8]) -> bool,
    ) {
        let Self { state, leader, .. } = self;
        if let Some(consumer) = state.consumers.get(&id)
            && let Some(dispatcher) = leader.dispatcher(id)
        {
            dispatcher.is_bound(now, consumer, interest);
            leader.schedule(id);
        }
    }
}

pub(crate) fn owned_filters(consumer: &Consumer) -> Vec<Vec<u8>> {
    let filters = consumer.filters();
    filters.into_iter().map(<[u8]>::to_vec).collect()
}
