//! What a store knows about the messages of one segment without reading them, and its form on disk: the footer of a
//! sealed segment and the `.idx` file beside a segment are the same frame.

mod columns;
mod frame;

pub(crate) use columns::{Columns, DAMAGED, REMOVED};
pub(crate) use frame::{Frame, FrameHead, starts_frame, trailing_frame_length};
