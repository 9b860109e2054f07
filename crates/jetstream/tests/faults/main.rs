//! What JetStream does when its disk is full, slow or failing, and when a load never pauses.
//!
//! A [`rig::Rig`] is a whole JetStream over the operating system's disk, with a hook before every operation. Nothing here waits for a
//! fixed time: what must happen is waited for, and what must not happen has had its chance once something later has happened.

mod answers;
mod check;
mod checkpoints;
mod client;
mod clock;
mod compaction;
mod creation;
mod damage;
mod disk;
mod encryption;
mod erase;
mod failed_sync;
mod fixtures;
mod full_disk;
mod limits;
mod memory;
mod passing_errors;
mod rig;
mod seams;
mod slow_reads;
mod starting;
mod stopping;
mod threads;
mod vanished;
mod writing;
