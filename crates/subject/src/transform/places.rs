//! Where the tokens of a subject are.

use crate::filter::{split_token, tokens};

/// Tokens whose places are kept; those behind are looked for.
const KEPT: usize = 16;

/// Where the tokens of a subject begin, as far as a source named them.
pub(super) struct Places {
    starts: [usize; KEPT],
    /// How many of `starts` are set.
    known: usize,
    /// Where what `>` stands for begins.
    rest: usize,
}

impl Places {
    /// Matches a subject with a source, token by token; `None` when it does not fit.
    pub(super) fn find(source: &[u8], subject: &[u8]) -> Option<Self> {
        let mut places = Self {
            starts: [0; KEPT],
            known: 0,
            rest: subject.len(),
        };
        let mut left = Some(subject);
        for wanted in tokens(source) {
            let text = left?;
            let start = subject.len() - text.len();
            if let Some(place) = places.starts.get_mut(places.known) {
                *place = start;
                places.known += 1;
            }
            if wanted == b">" {
                places.rest = start;
                return Some(places);
            }
            let (token, behind) = split_token(text);
            let fits = match wanted {
                b"*" => !token.is_empty() && token != b">",
                _ => token == wanted,
            };
            if !fits {
                return None;
            }
            left = behind;
        }
        left.is_none().then_some(places)
    }

    /// A token of the subject that was matched; empty when there are not so many.
    pub(super) fn token<'s>(&self, subject: &'s [u8], index: usize) -> &'s [u8] {
        let near = index.min(self.known.saturating_sub(1));
        let start = self.starts.get(near).copied().unwrap_or_default();
        let behind = subject.get(start..).unwrap_or_default();
        tokens(behind).nth(index - near).unwrap_or_default()
    }

    /// What `>` stands for.
    pub(super) fn rest<'s>(&self, subject: &'s [u8]) -> &'s [u8] {
        subject.get(self.rest..).unwrap_or_default()
    }
}
