//! The API level and the metadata keys that tell it.

use std::collections::BTreeMap;

/// Version of nats-server whose API this is; also what `INFO` and the metadata key `_nats.ver` say.
pub const NATS_VERSION: &str = "2.15.1";

/// Level of the API that the server promises.
///
/// Each level stands for a set of features (1: message TTL, markers, pause, priority groups, direct gets of many messages; 2: counters, atomic
/// batches, schedules; 3 and above: later additions), and clients choose what they ask for by it. nats-server 2.15.1
/// says 5; this server says only the level of which it has every feature, so that no client relies on one that is
/// missing. It grows with the features.
pub const API_LEVEL: u32 = 1;

/// Metadata key: level of the server that answers. Not stored.
pub const LEVEL_KEY: &str = "_nats.level";
/// Metadata key: lowest level that has all features the configuration uses. Stored.
pub const REQUIRED_LEVEL_KEY: &str = "_nats.req.level";
/// Metadata key: version of the server that answers. Not stored.
pub const VERSION_KEY: &str = "_nats.ver";

/// Header with which a client says the level it needs.
pub const REQUIRED_LEVEL_HEADER: &str = "Nats-Required-Api-Level";

/// Whether a request with the header [`REQUIRED_LEVEL_HEADER`] of this value may be served. If not, the answer is
/// [`crate::ErrorCode::RequiredApiLevel`].
#[must_use]
pub fn serves_required_level(header_value: &str) -> bool {
    header_value.is_empty()
        || header_value
            .parse::<i64>()
            .is_ok_and(|level| level <= i64::from(API_LEVEL))
}

/// Adds what the server tells about itself to the metadata of an answer: [`LEVEL_KEY`] and [`VERSION_KEY`].
pub fn add_level_metadata(metadata: &mut BTreeMap<String, String>) {
    metadata.insert(LEVEL_KEY.to_owned(), API_LEVEL.to_string());
    metadata.insert(VERSION_KEY.to_owned(), NATS_VERSION.to_owned());
}

/// Removes what [`add_level_metadata`] adds: entries of lists do not have it.
pub fn remove_level_metadata(metadata: &mut BTreeMap<String, String>) {
    metadata.remove(LEVEL_KEY);
    metadata.remove(VERSION_KEY);
}

/// Removes the keys of the server from the metadata of a request: clients send back what they were told.
pub fn strip_level_metadata(metadata: &mut BTreeMap<String, String>) {
    for key in [LEVEL_KEY, REQUIRED_LEVEL_KEY, VERSION_KEY] {
        metadata.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_levels_up_to_ours_are_served() {
        for (value, served) in [
            ("", true),
            ("0", true),
            ("-1", true),
            ("1", true),
            ("2", false),
            ("99", false),
            ("abc", false),
            (" 0", false),
        ] {
            assert_eq!(serves_required_level(value), served, "{value:?}");
        }
    }

    #[test]
    fn what_an_answer_adds_a_request_loses() {
        let mut metadata = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
        let before = metadata.clone();
        add_level_metadata(&mut metadata);
        assert_eq!(metadata.get("_nats.level").map(String::as_str), Some("1"));
        assert_eq!(
            metadata.get("_nats.ver").map(String::as_str),
            Some("2.15.1")
        );
        metadata.insert(REQUIRED_LEVEL_KEY.to_owned(), "0".to_owned());
        strip_level_metadata(&mut metadata);
        assert_eq!(metadata, before);
    }
}
