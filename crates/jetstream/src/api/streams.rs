//! Calls about streams.

use everjet_api::{
    ApiError, ClusterInfo, ErrorCode, LIST_PAGE_LIMIT, NAMES_PAGE_LIMIT, Page, PurgeRequest,
    PurgeResponse, SUBJECTS_PAGE_LIMIT, Storage, StreamAction, StreamConfig, StreamCreateRequest,
    StreamCreateResponse, StreamInfo, StreamInfoRequest, StreamInfoResponse, StreamListResponse,
    StreamNamesRequest, StreamNamesResponse, SuccessResponse, check_stream_name,
    remove_level_metadata,
};
use everjet_store::{Lookup, SubjectSet};
use everjet_stream::{
    PurgeProgress, PurgeWay, ServerLimits, Stream, normalise_config, normalise_update,
};
use everjet_values::Timestamp;

use super::worker::page;
use super::{Answer, Call};
use crate::render::journal_failed;

/// Messages that a purge removes before others have their turn: some 40 us.
const PURGED_PER_STEP: usize = 512;

/// Checks a configuration and fills in its defaults.
type Normalise = fn(StreamConfig, bool, &ServerLimits) -> Result<StreamConfig, ApiError>;

impl Call<'_> {
    pub(super) fn create_stream(&mut self, name: &str) -> Result<Answer, ApiError> {
        let config = self.wanted_config(name, normalise_config)?;
        if let Some(existing) = self.host.registry.config(name) {
            if existing != config {
                return Err(ErrorCode::StreamNameExists.error());
            }
            let actor = self.stream(name)?;
            return self.read_cold(&actor, |stream, now| {
                let info = exact_info(stream, now, &StreamInfoRequest::default());
                Ok(info.map(|info| StreamCreateResponse {
                    info,
                    did_create: true,
                }))
            });
        }
        if let Some(stream) = self.host.registry.offline(name) {
            return Err(ErrorCode::StreamOfflineReason.because(stream.why));
        }
        if self.host.backups.is_restoring(name) {
            return Err(ErrorCode::StreamNameExists.error());
        }
        self.check_subjects(&config)?;
        self.check_resources(&config)?;
        let actor = self
            .host
            .create(config, self.turn)
            .map_err(|why| journal_failed(&why))?;
        self.host
            .advisories
            .tell_stream_acted(name, StreamAction::Create, self.turn);
        self.read(&actor, |stream, now| {
            let info = stream.info(now, &StreamInfoRequest::default());
            Ok(StreamCreateResponse {
                info,
                did_create: true,
            })
        })
    }

    pub(super) fn update_stream(&mut self, name: &str) -> Result<Answer, ApiError> {
        let actor = self.stream(name)?;
        let config = self.wanted_config(name, normalise_update)?;
        self.check_subjects(&config)?;
        self.check_resources(&config)?;
        let needed = |stream: &Stream| stream.store().first_time_read();
        let advisory = self
            .host
            .advisories
            .stream_acted(name, StreamAction::Modify);
        let answer = self.change_reading(&actor, needed, |stream, now, output| {
            stream.update(now, config, output)?;
            if let Some((subject, body)) = advisory {
                output.effects.respond(subject.as_bytes(), body);
            }
            let info = stream.info(now, &StreamInfoRequest::default());
            Ok(StreamCreateResponse {
                info,
                did_create: false,
            })
        })?;
        if let Some(config) = actor.with(self.turn, |stream, _, _| stream.config().clone()) {
            self.host.registry.update(name, config);
        }
        Ok(answer)
    }

    pub(super) fn stream_names(&mut self) -> Result<Answer, ApiError> {
        let request: StreamNamesRequest = self.body_if_any()?;
        let mut names = self.host.registry.names(&request.subject);
        if request.subject.is_empty() {
            // Nobody knows the subjects of a stream that cannot be read; its name is taken all the same.
            names.extend(self.host.registry.all_offline().into_keys());
            names.sort_unstable();
        }
        let (page, streams) = page(names, request.offset, NAMES_PAGE_LIMIT);
        Ok(self.answer(StreamNamesResponse { page, streams }))
    }

    pub(super) fn stream_list(&mut self) -> Result<Answer, ApiError> {
        let request: StreamNamesRequest = self.body_if_any()?;
        let names = self.host.registry.names(&request.subject);
        let (page, names) = page(names, request.offset, LIST_PAGE_LIMIT);
        let mut streams = Vec::with_capacity(names.len());
        for name in &names {
            match self.info_of(name) {
                Some(Lookup::Ready(info)) => streams.push(info),
                Some(Lookup::Cold(_)) => return Ok(Answer::Later),
                None => {}
            }
        }
        let offline = self.host.registry.all_offline();
        Ok(self.answer(StreamListResponse {
            page,
            streams,
            offline,
        }))
    }

    pub(super) fn stream_info(&mut self, name: &str) -> Result<Answer, ApiError> {
        let request: StreamInfoRequest = self.body_if_any()?;
        let actor = self.stream(name)?;
        let leader = self.host.config.server_name.clone();
        self.read_cold(&actor, |stream, now| {
            let mut info = match exact_info(stream, now, &request) {
                Lookup::Ready(info) => info,
                Lookup::Cold(read) => return Ok(Lookup::Cold(read)),
            };
            info.cluster = Some(ClusterInfo::single(&leader));
            let page = if request.subjects_filter.is_empty() {
                Page::default()
            } else {
                let total = info
                    .state
                    .subjects
                    .as_ref()
                    .map_or(0, |subjects| subjects.len() as u64);
                let offset = u64::try_from(request.offset).unwrap_or(0);
                info.state.subjects = info.state.subjects.take().map(|subjects| {
                    let skip = usize::try_from(offset).unwrap_or(usize::MAX);
                    let take = usize::try_from(SUBJECTS_PAGE_LIMIT).unwrap_or(usize::MAX);
                    subjects.into_iter().skip(skip).take(take).collect()
                });
                Page {
                    total,
                    offset,
                    limit: SUBJECTS_PAGE_LIMIT,
                }
            };
            Ok(Lookup::Ready(StreamInfoResponse { page, info }))
        })
    }

    pub(super) fn delete_stream(&mut self, name: &str) -> Result<Answer, ApiError> {
        self.expect_empty()?;
        if let Some(stream) = self.host.registry.offline(name) {
            self.host
                .delete_offline(&stream)
                .map_err(|why| journal_failed(&why))?;
            self.tell_deleted(name);
            return Ok(self.answer(SuccessResponse::DONE));
        }
        let actor = self.stream(name)?;
        self.host
            .delete(&actor, self.turn)
            .map_err(|why| journal_failed(&why))?;
        self.tell_deleted(name);
        Ok(self.answer(SuccessResponse::DONE))
    }

    fn tell_deleted(&mut self, name: &str) {
        self.host
            .advisories
            .tell_stream_acted(name, StreamAction::Delete, self.turn);
    }

    pub(super) fn purge_stream(&mut self, name: &str) -> Result<Answer, ApiError> {
        let request: PurgeRequest = self.body()?;
        let actor = self.stream(name)?;
        let way = actor.with(self.turn, |stream, _, _| stream.way_of_purge(&request));
        let found = match way {
            Some(PurgeWay::InSteps) => None,
            Some(PurgeWay::Matching(names)) => {
                // The stream goes on meanwhile.
                Some(SubjectSet::among(&names, request.filter.as_bytes()))
            }
            Some(PurgeWay::AtOnce) | None => {
                return self.change(&actor, |stream, now, output| {
                    Ok(purge_response(stream.purge(now, &request, output)?))
                });
            }
        };
        if actor.is_on_disk() && self.host.commit.is_stuck() {
            return Err(ErrorCode::StorageResourcesExceeded.error());
        }
        let gone = || ErrorCode::StreamNotFound.error();
        actor
            .with(self.turn, |stream, now, output| {
                stream.begin_purge(now, &request, found, output)
            })
            .ok_or_else(gone)??;
        let purged = loop {
            let progress = actor.with(self.turn, |stream, now, output| {
                stream.continue_purge(now, PURGED_PER_STEP, output)
            });
            if let PurgeProgress::Over(purged) = progress.ok_or_else(gone)? {
                break purged;
            }
            // What others wanted from the stream during a step was done by this thread.
            self.turn.flush();
        };
        self.change(&actor, |_, _, _| Ok(purge_response(purged)))
    }

    /// What a stream says about itself; cold when that has to be read and this thread must not wait.
    fn info_of(&mut self, name: &str) -> Option<Lookup<StreamInfo>> {
        let actor = self.host.registry.find(name)?;
        let looked = actor.with_reads(self.turn, self.wait, |stream, now, _| {
            exact_info(stream, now, &StreamInfoRequest::default())
        });
        looked.map(|looked| {
            looked.map(|mut info| {
                remove_level_metadata(&mut info.config.metadata);
                info
            })
        })
    }

    /// The configuration that the request asks for, checked and with its defaults.
    fn wanted_config(&self, name: &str, normalise: Normalise) -> Result<StreamConfig, ApiError> {
        let request: StreamCreateRequest = self.body()?;
        check_stream_name(name)?;
        if request.config.name != name {
            return Err(ErrorCode::StreamMismatch.error());
        }
        normalise(request.config, request.pedantic, &ServerLimits::default())
    }

    fn check_subjects(&self, config: &StreamConfig) -> Result<(), ApiError> {
        if self.host.registry.overlaps(&config.subjects, &config.name) {
            return Err(ErrorCode::StreamSubjectOverlap.error());
        }
        Ok(())
    }

    /// A stream must not promise more bytes than are left of what the server may hold.
    fn check_resources(&self, config: &StreamConfig) -> Result<(), ApiError> {
        let wanted = u64::try_from(config.max_bytes).unwrap_or(0);
        let promised: u64 = self
            .host
            .registry
            .configs()
            .iter()
            .filter(|other| other.storage == config.storage && other.name != config.name)
            .map(|other| u64::try_from(other.max_bytes).unwrap_or(0))
            .fold(0, u64::saturating_add);
        let limits = self.host.usage.limits();
        let total = promised.saturating_add(wanted);
        match config.storage {
            Storage::File if total > limits.file_bytes_max => {
                Err(ErrorCode::StorageResourcesExceeded.error())
            }
            Storage::Memory if total > limits.memory_bytes_max => {
                Err(ErrorCode::MemoryResourcesExceeded.error())
            }
            _ => Ok(()),
        }
    }
}

fn purge_response(purged: u64) -> PurgeResponse {
    PurgeResponse {
        success: true,
        purged,
    }
}

/// What the stream says about itself, with the time of its first message, which may have to be read.
pub(super) fn exact_info(
    stream: &Stream,
    now: Timestamp,
    request: &StreamInfoRequest,
) -> Lookup<StreamInfo> {
    match stream.store().first_time_read() {
        Some(read) => Lookup::Cold(read),
        None => Lookup::Ready(stream.info(now, request)),
    }
}
