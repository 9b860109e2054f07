//! Pausing consumers: nothing is delivered before a time. Requests keep waiting, heartbeats go on.

use everjet_api::{
    ApiError, ConsumerConfig, ConsumerEvent, ConsumerPauseResponse, ErrorCode, Nanos,
};
use everjet_consumer::{ConsumerId, set_required_level};
use everjet_values::Timestamp;

use crate::Output;
use crate::machine::Stream;

impl Stream {
    /// Pauses a consumer until a time; without one, or with one that has passed, it goes on.
    ///
    /// # Errors
    /// [`ErrorCode::ConsumerNotFound`].
    pub fn pause_consumer(
        &mut self,
        now: Timestamp,
        name: &str,
        until: Option<Timestamp>,
        out: &mut Output,
    ) -> Result<ConsumerPauseResponse, ApiError> {
        let until = until.filter(|until| !until.is_unset());
        let consumer = self.state.consumer(name);
        let consumer = consumer.ok_or_else(|| ErrorCode::ConsumerNotFound.error())?;
        let id = consumer.id;
        if consumer.config.pause_until != until {
            let mut config = consumer.config.clone();
            config.pause_until = until;
            set_required_level(&mut config);
            self.set_consumer_config(id, config, out);
        }
        let Self { state, leader, .. } = self;
        if let (Some(consumer), Some(dispatcher)) =
            (state.consumers.get(&id), leader.dispatcher(id))
        {
            dispatcher.on_pause(now, consumer);
            leader.mark_ready(id);
            leader.schedule(id);
        }
        let paused = until.is_some_and(|until| until > now);
        let told = until.unwrap_or(Timestamp::UNSET);
        let event = ConsumerEvent::Paused {
            paused,
            until: told,
        };
        self.advisories.push(name, event);
        let remaining = until.filter(|_| paused).map(|until| until.since(now));
        Ok(ConsumerPauseResponse {
            paused,
            pause_until: told,
            pause_remaining: remaining.map_or(Nanos::ZERO, Nanos::from),
        })
    }

    /// The configuration that is asked for with the pause there is: creating a consumer again neither ends nor begins one.
    pub(crate) fn keep_pause(
        &mut self,
        now: Timestamp,
        id: ConsumerId,
        mut config: ConsumerConfig,
    ) -> ConsumerConfig {
        if let Some(consumer) = self.state.consumers.get(&id) {
            config.pause_until = consumer.config.pause_until;
            set_required_level(&mut config);
        }
        self.tell_pause(now, id);
        config
    }

    /// Tells subscribers when the consumer is paused.
    pub(crate) fn tell_pause(&mut self, now: Timestamp, id: ConsumerId) {
        let Some(consumer) = self.state.consumers.get(&id) else {
            return;
        };
        if let Some(until) = consumer.config.pause_until.filter(|until| *until > now) {
            let paused = true;
            let event = ConsumerEvent::Paused { paused, until };
            self.advisories.push(&consumer.name, event);
        }
    }
}
