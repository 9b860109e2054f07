//! Where messages of clients go instead of their subject.

use everjet_subject::{MapDestination, SubjectMapping, is_valid_filter};

use crate::reader::Reader;
use crate::{Entry, Kind, Value};

/// Reads the block `mappings { … }`: each key is a source, its value one destination or several with weights.
///
/// The mappings are in the order of the file, which is the order in which they apply.
pub(crate) fn read(entry: &Entry, reader: &mut Reader) -> Vec<SubjectMapping> {
    let Kind::Table(table) = &entry.value.kind else {
        reader.mismatch(entry, "a block");
        return Vec::new();
    };
    let entries = table.entries().iter();
    entries.filter_map(|inner| mapping(inner, reader)).collect()
}

fn mapping(entry: &Entry, reader: &mut Reader) -> Option<SubjectMapping> {
    let source = &entry.key;
    if !is_valid_filter(source.as_bytes()) {
        reader.refuse(entry, format!("Subject {source:?} is not a valid subject"));
        return None;
    }
    let (made, place) = match &entry.value.kind {
        Kind::Text(destination) => (
            SubjectMapping::to(source, destination),
            format!("{source:?} to {destination:?}"),
        ),
        Kind::List(values) => {
            let destinations = values.iter().map(|value| destination(value, reader));
            // All of them are read, so that all mistakes are told.
            let destinations: Vec<Option<MapDestination>> = destinations.collect();
            let destinations: Option<Vec<MapDestination>> = destinations.into_iter().collect();
            (
                SubjectMapping::weighted(source, &destinations?),
                format!("{source:?}"),
            )
        }
        _ => (
            SubjectMapping::weighted(source, &[destination(&entry.value, reader)?]),
            format!("{source:?}"),
        ),
    };
    made.map_err(|error| {
        // The blank before the colon is nats-server's.
        reader.refuse(entry, format!("Error adding mapping for {place} : {error}"));
    })
    .ok()
}

/// Reads `{ destination: …, weight: …, cluster: … }`.
fn destination(value: &Value, reader: &mut Reader) -> Option<MapDestination> {
    let Kind::Table(table) = &value.kind else {
        reader.refuse_at(
            &value.position,
            "Expected an entry for the mapping destination",
        );
        return None;
    };
    let (mut subject, mut weight, mut cluster) = (None, None, None);
    let errors_before = reader.errors.len();
    for inner in table.entries() {
        match inner.key.to_ascii_lowercase().as_str() {
            "dest" | "destination" => subject = reader.text(inner),
            "weight" => weight = percentage(inner, reader),
            "cluster" => cluster = reader.optional_text(inner),
            _ => reader.refuse(
                inner,
                format!("Unknown field {:?} for mapping destination", inner.key),
            ),
        }
    }
    if reader.errors.len() > errors_before {
        return None;
    }
    let subject = subject.unwrap_or_default();
    let Some(weight) = weight else {
        reader.refuse_at(
            &value.position,
            format!("Missing weight for mapping destination {subject:?}"),
        );
        return None;
    };
    Some(MapDestination {
        subject,
        weight,
        cluster,
    })
}

/// A weight from 0 to 100: a number, or a text with or without a percent sign.
fn percentage(entry: &Entry, reader: &mut Reader) -> Option<u8> {
    let weight = match &entry.value.kind {
        Kind::Integer(weight) => *weight,
        Kind::Text(text) => {
            let digits = text.strip_suffix('%').unwrap_or(text);
            match digits.parse() {
                Ok(weight) => weight,
                Err(_) => {
                    let text = format!("Invalid weight {digits:?} for mapping destination");
                    reader.refuse(entry, text);
                    return None;
                }
            }
        }
        _ => {
            reader.mismatch(entry, "a percentage such as 50 or \"50%\"");
            return None;
        }
    };
    let checked = u8::try_from(weight).ok().filter(|weight| *weight <= 100);
    if checked.is_none() {
        let text = format!("Invalid weight {weight} for mapping destination");
        reader.refuse(entry, text);
    }
    checked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ConfigErrors, Options, Sources, load};

    struct OneFile<'a>(&'a str);

    impl Sources for OneFile<'_> {
        fn read(&mut self, _path: &str) -> Result<String, String> {
            Ok(self.0.to_owned())
        }

        fn variable(&mut self, _name: &str) -> Option<String> {
            None
        }
    }

    fn read_text(text: &str) -> Result<Options, ConfigErrors> {
        load("nats.conf", &mut OneFile(text)).map(|loaded| loaded.options)
    }

    #[track_caller]
    fn check(text: &str, expected: &[SubjectMapping]) {
        match read_text(text) {
            Ok(options) => assert_eq!(options.mappings, expected, "{text}"),
            Err(errors) => panic!("{text}: {errors}"),
        }
    }

    #[track_caller]
    fn refused(text: &str, expected: &str) {
        let errors = read_text(text).expect_err(text);
        assert_eq!(errors.to_string(), expected, "{text}");
    }

    fn to(source: &str, destination: &str) -> SubjectMapping {
        SubjectMapping::to(source, destination).expect("a valid mapping")
    }

    fn weighted(source: &str, destinations: &[(&str, u8, Option<&str>)]) -> SubjectMapping {
        let destinations = destinations
            .iter()
            .map(|(subject, weight, cluster)| MapDestination {
                subject: (*subject).to_owned(),
                weight: *weight,
                cluster: cluster.map(str::to_owned),
            });
        let destinations: Vec<MapDestination> = destinations.collect();
        SubjectMapping::weighted(source, &destinations).expect("a valid mapping")
    }

    #[test]
    fn mappings_have_one_destination_or_weighted_ones() {
        check("mappings {}", &[]);
        check(
            "mappings {\n foo.* : bar.$1\n \"a.>\": 'b.>'\n * = \"{{ left(1, 2) }}\"\n}",
            &[
                to("foo.*", "bar.$1"),
                to("a.>", "b.>"),
                to("*", "{{ left(1, 2) }}"),
            ],
        );
        check("Maps: {foo: bar}", &[to("foo", "bar")]);
        check("mappings { foo: [] }", &[weighted("foo", &[])]);
        let half = weighted("foo", &[("bar", 50, None)]);
        for text in [
            "mappings { foo: { destination: bar, weight: 50 } }",
            "mappings { foo: { DEST: bar, Weight: \"50%\" } }",
            "mappings { foo: [ { dest: bar, weight: 50% } ] }",
            "mappings { foo: [ { dest: bar, weight: \"50\", cluster: \"\" } ] }",
        ] {
            check(text, std::slice::from_ref(&half));
        }
        check(
            "mappings { foo: [ {dest: a, weight: 60, cluster: X}, {dest: b, weight: 70%, cluster: Y}, {dest: c, weight: 100} ] }",
            &[weighted(
                "foo",
                &[("a", 60, Some("X")), ("b", 70, Some("Y")), ("c", 100, None)],
            )],
        );
        // Of equal keys the last counts.
        check("mappings {\n foo: bar\n foo: baz\n}", &[to("foo", "baz")]);
    }

    #[test]
    fn mistakes_are_told_in_the_words_of_nats_server() {
        for (text, expected) in [
            (
                "mappings { foo..bar: bar }",
                "1:12: Subject \"foo..bar\" is not a valid subject",
            ),
            (
                "mappings {\n foo.*: \"x.{{foo()}}\"\n}",
                "2:2: Error adding mapping for \"foo.*\" to \"x.{{foo()}}\" : invalid mapping destination: unknown function in {{foo()}}",
            ),
            (
                "mappings { foo: b.* }",
                "1:12: Error adding mapping for \"foo\" to \"b.*\" : invalid subject",
            ),
            (
                "mappings { foo: [ {dest: \"$1\", weight: 10} ] }",
                "1:12: Error adding mapping for \"foo\" : invalid mapping destination: wildcard index out of range in $1",
            ),
            (
                "mappings { foo: [ {dest: bar, weight: 50%}, {dest: baz, weight: 60%} ] }",
                "1:12: Error adding mapping for \"foo\" : total weight needs to be <= 100",
            ),
            (
                "mappings { foo: [ {dest: bar, weight: 50%}, {dest: bar, weight: 10%} ] }",
                "1:12: Error adding mapping for \"foo\" : duplicate entry for \"bar\"",
            ),
            (
                "mappings { foo: { dest: bar, weight: 101 } }",
                "1:30: Invalid weight 101 for mapping destination",
            ),
            (
                "mappings { foo: { dest: bar, weight: \"-1%\" } }",
                "1:30: Invalid weight -1 for mapping destination",
            ),
            (
                "mappings { foo: { dest: bar, weight: \"50 %\" } }",
                "1:30: Invalid weight \"50 \" for mapping destination",
            ),
            (
                "mappings { foo: { dest: bar, percentage: 50 } }",
                "1:30: Unknown field \"percentage\" for mapping destination",
            ),
            (
                "mappings { foo: { dest: bar } }",
                "1:17: Missing weight for mapping destination \"bar\"",
            ),
            (
                "mappings { foo: 5 }",
                "1:17: Expected an entry for the mapping destination",
            ),
            (
                "mappings { foo: [ bar ] }",
                "1:19: Expected an entry for the mapping destination",
            ),
        ] {
            refused(text, &format!("nats.conf:{expected}"));
        }
    }

    #[test]
    fn what_nats_server_does_not_say_in_words_is_refused_too() {
        for (text, expected) in [
            (
                "mappings: 5",
                "1:1: \"mappings\" needs a block, not a whole number",
            ),
            ("maps: [a]", "1:1: \"maps\" needs a block, not a list"),
            (
                "mappings { foo: bar }\nmaps { a: b }",
                "2:1: mappings and maps are one block: write it once",
            ),
            (
                "mappings { foo: \"\" }",
                "1:12: Error adding mapping for \"foo\" to \"\" : invalid mapping destination: invalid transform",
            ),
            (
                "mappings { foo: { weight: 50 } }",
                "1:12: Error adding mapping for \"foo\" : invalid mapping destination: invalid transform",
            ),
            (
                "mappings { foo: { dest: bar, weight: true } }",
                "1:30: \"weight\" needs a percentage such as 50 or \"50%\", not a boolean",
            ),
            (
                "mappings { foo: { dest: 5, weight: 50 } }",
                "1:19: \"dest\" needs a text, not a whole number",
            ),
        ] {
            refused(text, &format!("nats.conf:{expected}"));
        }
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        refused(
            "mappings {\n a: [ {dest: b, weight: x}, {dest: c, weight: y} ]\n b.: c\n}",
            "nats.conf:2:17: Invalid weight \"x\" for mapping destination\n\
             nats.conf:2:39: Invalid weight \"y\" for mapping destination\n\
             nats.conf:3:2: Subject \"b.\" is not a valid subject",
        );
    }
}
