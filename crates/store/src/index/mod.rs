//! What a store knows about the messages of one segment without reading them, and its form on disk: the footer of a
//! sealed segment and the `.idx` file beside a segment are the same frame; `checkpoint.bin` holds those of many segments.

mod checkpoint;
mod columns;
mod frame;
mod input;
mod offsets;
mod subject_column;

pub(crate) use checkpoint::{
    CHECKPOINT_HEAD, COUNT_BYTES, CheckpointHead, CheckpointSegment, FileNumbers, Section,
    Sections, hash_sections, read_hashes, read_subjects, write_hashes,
};
pub(crate) use columns::{Columns, DAMAGED, REMOVED};
pub(crate) use frame::{Frame, FrameHead, starts_frame, trailing_frame_length};
pub(crate) use subject_column::{Code, Coded, SubjectColumn};
