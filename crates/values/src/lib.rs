//! Values that every layer shares: time, sequence numbers, durations and sizes as people write them, and the
//! [`Clock`] and [`Entropy`] seams.
//!
//! Nothing here does I/O; the two seams are traits that drivers implement.
#![forbid(unsafe_code)]

mod duration;
mod entropy;
mod sequence;
mod size;
mod time;

pub use duration::{DurationError, format_duration, parse_duration, parse_long_duration};
pub use entropy::{Entropy, SeededEntropy, token};
pub use sequence::{ConsumerSequence, EntryIndex, StreamSequence};
pub use size::{SizeError, format_size, parse_size};
pub use time::{Clock, ManualClock, TimeError, TimeText, Timestamp};
