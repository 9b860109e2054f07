//! Calls about consumers.

use std::sync::Arc;

use everjet_api::{
    ApiError, ConsumerCreateRequest, ConsumerListResponse, ConsumerNamesResponse,
    ConsumerPauseRequest, ConsumerResetRequest, ConsumerUnpinRequest, ConsumerUnpinResponse,
    ErrorCode, LIST_PAGE_LIMIT, NAMES_PAGE_LIMIT, PageRequest, SuccessResponse,
    check_consumer_name, remove_level_metadata,
};
use everjet_store::Lookup;
use everjet_stream::{CreateConsumer, Stream};
use everjet_values::token;

use super::worker::page;
use super::{Answer, Call};

/// Length of the names that the server gives, as nats-server gives them.
const GIVEN_NAME_LEN: usize = 8;

impl Call<'_> {
    /// `CONSUMER.CREATE.<stream>.<consumer>[.<filter>]`. The subject names the consumer; of the names in the body only a
    /// durable one has to agree, as in nats-server 2.15.1.
    pub(super) fn create_consumer(
        &mut self,
        stream: &str,
        consumer: &str,
        filter: Option<&str>,
    ) -> Result<Answer, ApiError> {
        let mut request = self.consumer_request(stream)?;
        let config = &mut request.config;
        if !config.durable_name.is_empty() && config.durable_name != consumer {
            return Err(ErrorCode::ConsumerDurableNameNotMatchSubject.error());
        }
        consumer.clone_into(&mut config.name);
        if let Some(filter) = filter {
            if !config.filter_subjects.is_empty() {
                return Err(ErrorCode::ConsumerMultipleFiltersNotAllowed.error());
            }
            if config.filter_subject != filter {
                return Err(ErrorCode::ConsumerCreateFilterSubjectMismatch.error());
            }
        }
        self.add_consumer(stream, request)
    }

    /// `CONSUMER.CREATE.<stream>`.
    pub(super) fn create_ephemeral(&mut self, stream: &str) -> Result<Answer, ApiError> {
        let request = self.consumer_request(stream)?;
        if !request.config.durable_name.is_empty() {
            return Err(ErrorCode::ConsumerEphemeralWithDurableName.error());
        }
        self.add_consumer(stream, request)
    }

    /// `CONSUMER.DURABLE.CREATE.<stream>.<consumer>`.
    pub(super) fn create_durable(
        &mut self,
        stream: &str,
        consumer: &str,
    ) -> Result<Answer, ApiError> {
        let mut request = self.consumer_request(stream)?;
        if request.config.durable_name.is_empty() {
            return Err(ErrorCode::ConsumerDurableNameNotSet.error());
        }
        if request.config.durable_name != consumer {
            return Err(ErrorCode::ConsumerDurableNameNotMatchSubject.error());
        }
        consumer.clone_into(&mut request.config.name);
        self.add_consumer(stream, request)
    }

    pub(super) fn consumer_names(&mut self, stream: &str) -> Result<Answer, ApiError> {
        let request: PageRequest = self.body_if_any()?;
        let actor = self.stream(stream)?;
        self.read(&actor, |stream, _| {
            let names = stream
                .consumer_names()
                .into_iter()
                .map(str::to_owned)
                .collect();
            let (page, consumers) = page(names, request.offset, NAMES_PAGE_LIMIT);
            Ok(ConsumerNamesResponse { page, consumers })
        })
    }

    pub(super) fn consumer_list(&mut self, stream: &str) -> Result<Answer, ApiError> {
        let request: PageRequest = self.body_if_any()?;
        let actor = self.stream(stream)?;
        self.read(&actor, |stream, now| {
            let names: Vec<String> = stream
                .consumer_names()
                .into_iter()
                .map(str::to_owned)
                .collect();
            let (page, names) = page(names, request.offset, LIST_PAGE_LIMIT);
            let consumers = names
                .iter()
                .filter_map(|name| stream.consumer_info(now, name).ok())
                .map(|mut info| {
                    remove_level_metadata(&mut info.config.metadata);
                    info
                })
                .collect();
            Ok(ConsumerListResponse { page, consumers })
        })
    }

    pub(super) fn consumer_info(
        &mut self,
        stream: &str,
        consumer: &str,
    ) -> Result<Answer, ApiError> {
        self.expect_empty()?;
        let actor = self.stream(stream)?;
        self.read(&actor, |stream, now| stream.consumer_info(now, consumer))
    }

    pub(super) fn delete_consumer(
        &mut self,
        stream: &str,
        consumer: &str,
    ) -> Result<Answer, ApiError> {
        self.expect_empty()?;
        let actor = self.stream(stream)?;
        let answer = self.change(&actor, |stream, now, output| {
            stream.delete_consumer(now, consumer, output)?;
            Ok(SuccessResponse::DONE)
        })?;
        self.host
            .registry
            .keep_watches(actor.id, |name| name != consumer);
        Ok(answer)
    }

    /// `CONSUMER.PAUSE.<stream>.<consumer>`.
    pub(super) fn pause_consumer(
        &mut self,
        stream: &str,
        consumer: &str,
    ) -> Result<Answer, ApiError> {
        let request: ConsumerPauseRequest = self.body()?;
        let actor = self.stream(stream)?;
        self.change(&actor, |stream, now, output| {
            stream.pause_consumer(now, consumer, request.pause_until, output)
        })
    }

    /// `CONSUMER.UNPIN.<stream>.<consumer>`. The body is read leniently, and has to be there.
    pub(super) fn unpin_consumer(
        &mut self,
        stream: &str,
        consumer: &str,
    ) -> Result<Answer, ApiError> {
        let body = &self.request.body;
        if body.trim_ascii().is_empty() {
            return Err(ErrorCode::InvalidJson.because("unexpected end of JSON input"));
        }
        let request: ConsumerUnpinRequest = everjet_api::decode_lenient(body)?;
        if request.group.is_empty() {
            return Err(ErrorCode::InvalidJson.because("consumer group not specified"));
        }
        let actor = self.stream(stream)?;
        self.change(&actor, |stream, _, _| {
            stream.unpin_consumer(consumer, &request.group)?;
            Ok(ConsumerUnpinResponse {})
        })
    }

    /// `CONSUMER.RESET.<stream>.<consumer>`. The consumer itself answers: where there is none, or nobody waits, nothing is said or done.
    pub(super) fn reset_consumer(
        &mut self,
        stream: &str,
        consumer: &str,
    ) -> Result<Answer, ApiError> {
        if self.request.reply.is_empty() {
            return Ok(Answer::Silence);
        }
        let Ok(actor) = self.stream(stream) else {
            return Ok(Answer::Silence);
        };
        let request = everjet_api::decode_lenient::<ConsumerResetRequest>(&self.request.body);
        let needed = |stream: &Stream| match stream.reset_needs(consumer)? {
            Lookup::Cold(read) => Some(read),
            Lookup::Ready(_) => None,
        };
        let result = self.change_reading(&actor, needed, |stream, now, output| {
            if !stream.consumer_names().contains(&consumer) {
                return Err(ErrorCode::ConsumerNotFound.error());
            }
            stream.reset_consumer(now, consumer, request?.seq, output)
        });
        match result {
            Err(error) if error.is(ErrorCode::ConsumerNotFound) => Ok(Answer::Silence),
            result => result,
        }
    }

    fn consumer_request(&self, stream: &str) -> Result<ConsumerCreateRequest, ApiError> {
        let request: ConsumerCreateRequest = self.body()?;
        if request.stream_name != stream {
            return Err(ErrorCode::StreamMismatch.error());
        }
        Ok(request)
    }

    fn add_consumer(
        &mut self,
        stream: &str,
        request: ConsumerCreateRequest,
    ) -> Result<Answer, ApiError> {
        let config = &request.config;
        for name in [&config.name, &config.durable_name] {
            if !name.is_empty() {
                check_consumer_name(name)?;
            }
        }
        let actor = self.stream(stream)?;
        let account = Arc::clone(&actor.account);
        let free_name = token(&*self.host.seams.entropy, GIVEN_NAME_LEN);
        let create = CreateConsumer {
            config: request.config,
            action: request.action,
            pedantic: request.pedantic,
        };
        let mut created = None;
        let start = create.config.opt_start_time;
        let needed = |stream: &Stream| match stream.store().search_time(start?) {
            Lookup::Cold(read) => Some(read),
            Lookup::Ready(_) => None,
        };
        let answer = self.change_reading(&actor, needed, |stream, now, output| {
            let interest = &mut |subject: &[u8]| account.has_interest(subject);
            let info = stream.create_consumer(now, create, free_name, interest, output)?;
            created = Some((info.name.clone(), info.config.deliver_subject.clone()));
            Ok(info)
        })?;
        if let Some((name, deliver_subject)) =
            created.filter(|(_, deliver_subject)| !deliver_subject.is_empty())
        {
            let lives: Option<Vec<String>> = actor.with(self.turn, |stream, _, _| {
                stream
                    .consumer_names()
                    .into_iter()
                    .map(str::to_owned)
                    .collect()
            });
            let lives = lives.unwrap_or_default();
            self.host.registry.keep_watches(actor.id, |consumer| {
                lives.iter().any(|name| name == consumer)
            });
            self.host.registry.watch(&actor, &name, &deliver_subject);
        }
        Ok(answer)
    }
}
