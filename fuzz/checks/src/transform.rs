//! Subject transforms and mappings.

use everjet_subject::{
    MapDestination, SubjectMapping, SubjectTransform, identity_destination, is_valid_filter,
    is_valid_literal, matches,
};

/// Any source and destination make a transform or are refused; a transform takes what its source matches, makes of it no more
/// than its destination asks for, and the same each time unless it draws numbers; a mapping drops nothing that its weights
/// leave.
///
/// The first two lines are source and destination, every other is a subject; the last byte of a subject is a weight too.
pub fn check_transform(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let source = lines.next().unwrap_or_default();
    let destination = lines.next().unwrap_or_default();
    let subjects: Vec<&[u8]> = lines.take(16).collect();
    for make in [
        SubjectTransform::new,
        SubjectTransform::mapping,
        SubjectTransform::strict,
    ] {
        match make(source, destination) {
            Ok(transform) => {
                let again = make(transform.source(), transform.destination());
                assert_eq!(again.as_ref(), Ok(&transform));
                for subject in &subjects {
                    check_subject(&transform, subject);
                }
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    check_identity(source, &subjects);
    check_mapping(source, destination, &subjects);
}

fn apply(transform: &SubjectTransform, subject: &[u8], draw: u32) -> Option<Vec<u8>> {
    let mut into = b"kept.".to_vec();
    let taken = transform.apply(subject, || draw, &mut into);
    assert!(into.starts_with(b"kept."));
    into.drain(..5);
    assert!(taken || into.is_empty());
    taken.then_some(into)
}

fn check_subject(transform: &SubjectTransform, subject: &[u8]) {
    let made = apply(transform, subject, 7);
    assert_eq!(made.is_some(), transform.applies_to(subject));
    if is_valid_literal(subject) && is_valid_filter(transform.source()) {
        assert_eq!(made.is_some(), matches(transform.source(), subject));
    }
    assert_eq!(apply(transform, subject, 7), made);
    if transform.is_deterministic() {
        assert_eq!(apply(transform, subject, u32::MAX), made);
    }
    if let Some(made) = made {
        // A token of the destination becomes at most the subject with a dot between all of its bytes, or a number.
        let most = 2 * subject.len() + 11;
        let tokens = 1 + transform
            .destination()
            .iter()
            .filter(|byte| **byte == b'.')
            .count();
        assert!(made.len() <= transform.destination().len() + tokens * (most + 1));
    }
}

fn check_identity(source: &[u8], subjects: &[&[u8]]) {
    if !is_valid_filter(source) {
        return;
    }
    let destination = identity_destination(source);
    let Ok(identity) = SubjectTransform::mapping(source, &destination) else {
        // The source has a token that a destination takes for a function.
        return;
    };
    let has_functions = source.contains(&b'$') || source.contains(&b'{');
    for subject in subjects {
        if let Some(made) = apply(&identity, subject, 0).filter(|_| !has_functions) {
            assert_eq!(made, *subject);
        }
    }
}

fn check_mapping(source: &[u8], destination: &[u8], subjects: &[&[u8]]) {
    let source = String::from_utf8_lossy(source);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut destinations = vec![MapDestination {
        subject: text(destination),
        weight: 30,
        cluster: None,
    }];
    destinations.extend(subjects.iter().map(|subject| {
        let weight = subject.last().copied().unwrap_or_default();
        MapDestination {
            subject: text(subject),
            weight,
            cluster: (weight % 2 == 1).then(|| "c".to_owned()),
        }
    }));
    let Ok(mapping) = SubjectMapping::weighted(&source, &destinations) else {
        return;
    };
    let keeps_rest = destinations.iter().all(|one| one.subject != source);
    for cluster in [None, Some("c"), Some("other")] {
        let choices = mapping.choices(cluster);
        for draw in 0..100 {
            assert!(choices.choose(|| draw).is_some() || !keeps_rest);
        }
    }
}
