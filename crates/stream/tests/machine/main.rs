//! The stream machine as transcripts and against a model. Time is a number, the disk is simulated.

mod batch;
mod consumers;
mod control;
mod counters;
mod driver;
mod ingest;
mod lifetimes;
mod limits;
mod model;
mod publish;
mod pull;
mod purge;
mod push;
mod recovery;
mod retention;
mod retention_model;
mod rollup;
mod subjects;
mod transcript;
mod turns;
