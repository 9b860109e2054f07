//! Subjects and filters: which are valid, what matches, and the structures that answer it for many at once:
//! [`FilterTree`] (many filters, match one subject), [`SubjectTable`] (many subjects, match one filter) and [`FilterSet`]
//! (many filters, collide with one filter). And what makes one subject of another: [`SubjectTransform`], and
//! [`SubjectMapping`] with several destinations.
//!
//! A subject is a sequence of tokens between dots, compared byte by byte. A filter is a subject in which a whole token
//! `*` stands for any one token and a whole last token `>` for one token or more; inside a longer token both are
//! ordinary bytes. Nothing here knows accounts, permissions or subscriptions.
#![forbid(unsafe_code)]

mod filter;
mod filter_set;
mod mapping;
mod table;
mod transform;
mod tree;

pub use filter::{
    collides, has_wildcards, is_subset, is_valid_filter, is_valid_literal, matches, tokens,
};
pub use filter_set::FilterSet;
pub use mapping::{MapDestination, MappingChoices, MappingError, SubjectMapping};
pub use table::{SubjectHashes, SubjectId, SubjectNames, SubjectTable};
pub use transform::{SubjectTransform, TransformError, TransformFault, identity_destination};
pub use tree::FilterTree;
