use super::*;

/// The closed form of an error text: nats-server 2.15.1 with `-t` on `mappings { source: destination }`.
fn refused(source: &str, destination: &str, expected: &str) {
    match SubjectTransform::mapping(source.as_bytes(), destination.as_bytes()) {
        Ok(transform) => panic!("{source} to {destination}: {transform:?}"),
        Err(error) => assert_eq!(error.to_string(), expected, "{source} to {destination}"),
    }
}

fn applied(transform: &SubjectTransform, subject: &[u8]) -> Option<Vec<u8>> {
    let mut into = b"kept ".to_vec();
    let taken = transform.apply(subject, || 0, &mut into);
    assert_eq!(taken, transform.applies_to(subject));
    let appended = into.strip_prefix(b"kept ").expect("nothing is removed");
    assert!(taken || appended.is_empty());
    taken.then(|| appended.to_vec())
}

#[test]
fn destinations_are_refused_in_the_published_words() {
    for (destination, reason) in [
        ("{{foo(1)}}", "unknown function"),
        ("{{WILDCARD(1)}}", "unknown function"),
        ("{{sPlit(1,-)}}", "unknown function"),
        ("{{slicefromleft}}", "unknown function"),
        ("{{wildcard(1}}", "unknown function"),
        ("{{a}}", "unknown function"),
        (
            "{{wildcard()}}",
            "not enough arguments passed to the function",
        ),
        (
            "{{split(1)}}",
            "not enough arguments passed to the function",
        ),
        ("{{split()}}", "not enough arguments passed to the function"),
        (
            "{{splitfromleft(1)}}",
            "not enough arguments passed to the function",
        ),
        (
            "{{random(1,2)}}",
            "not enough arguments passed to the function",
        ),
        (
            "{{random(1,)}}",
            "not enough arguments passed to the function",
        ),
        (
            "{{wildcard(1,1)}}",
            "too many arguments passed to the function",
        ),
        (
            "{{split(1,-,-)}}",
            "too many arguments passed to the function",
        ),
        (
            "{{splitfromleft(1,2,3)}}",
            "too many arguments passed to the function",
        ),
        (
            "{{wildcard( )}}",
            "function argument is invalid or in the wrong format",
        ),
        (
            "{{wildcard(\t1)}}",
            "function argument is invalid or in the wrong format",
        ),
        (
            "{{wildcard(x)}}",
            "function argument is invalid or in the wrong format",
        ),
        (
            "{{wildcard(1)}}{{wildcard(1)}}",
            "function argument is invalid or in the wrong format",
        ),
        (
            "{{partition()}}",
            "function argument is invalid or in the wrong format",
        ),
        (
            "{{partition(x)}}",
            "function argument is invalid or in the wrong format",
        ),
        (
            "{{partition(3,x)}}",
            "function argument is invalid or in the wrong format",
        ),
        (
            "{{partition(1,)}}",
            "function argument is invalid or in the wrong format",
        ),
        (
            "{{partition(,1)}}",
            "function argument is invalid or in the wrong format",
        ),
        (
            "{{partition(2147483648)}}",
            "function argument is invalid or in the wrong format",
        ),
        (
            "{{partition(2147483648,1)}}",
            "function argument is invalid or in the wrong format",
        ),
        (
            "{{split(x,-)}}",
            "function argument is invalid or in the wrong format",
        ),
        (
            "{{split(1,- )}}",
            "function argument is invalid or in the wrong format",
        ),
        (
            "{{splitfromleft(x,1)}}",
            "function argument is invalid or in the wrong format",
        ),
        (
            "{{splitfromleft(1,x)}}",
            "function argument is invalid or in the wrong format",
        ),
        (
            "{{splitfromleft(1,2147483648)}}",
            "function argument is invalid or in the wrong format",
        ),
        (
            "{{random()}}",
            "function argument is invalid or in the wrong format",
        ),
        (
            "{{random(x)}}",
            "function argument is invalid or in the wrong format",
        ),
        (
            "{{random(2147483648)}}",
            "function argument is invalid or in the wrong format",
        ),
    ] {
        let expected = format!("invalid mapping destination: {reason} in {destination}");
        refused("foo.*", destination, &expected);
        refused("foo.*", &format!("a.{destination}"), &expected);
    }
    for destination in [
        "$2",
        "{{wildcard(2)}}",
        "{{partition(3,2)}}",
        "{{split(2,-)}}",
        "{{left(2,1)}}",
    ] {
        let expected = format!(
            "invalid mapping destination: wildcard index out of range in {destination}: [2]"
        );
        refused("foo.*", destination, &expected);
    }
    for destination in ["$1.>", "{{wildcard(1)}}.>", "{{partition(2,1)}}.>"] {
        let token = destination.trim_end_matches(".>");
        let expected =
            format!("invalid mapping destination: wildcard index out of range in {token}: [1]");
        refused("foo.>", destination, &expected);
    }
    for destination in ["$1", "{{wildcard(1)}}", "{{left(1,1)}}", "{{split(1,-)}}"] {
        let expected =
            format!("invalid mapping destination: wildcard index out of range in {destination}");
        refused("foo", destination, &expected);
    }
    refused(
        "foo",
        "{{foo()}}",
        "invalid mapping destination: unknown function in {{foo()}}",
    );
}

#[test]
fn destinations_that_are_no_subjects_are_refused() {
    for (source, destination, expected) in [
        ("foo.*", "*", "invalid subject"),
        ("foo.*", "b.*", "invalid subject"),
        ("foo.*", "b.>", "invalid subject"),
        ("foo.*", "{{wildcard(1)}}.>", "invalid subject"),
        ("foo", "b.>", "invalid subject"),
        ("foo.>", "foo", "invalid subject"),
        ("", "foo", "invalid subject"),
        ("foo..bar", "foo", "invalid subject"),
        (
            "foo.*",
            "a..b",
            "invalid mapping destination: invalid transform",
        ),
        (
            "foo.*",
            ".a",
            "invalid mapping destination: invalid transform",
        ),
        (
            "foo.*",
            "",
            "invalid mapping destination: invalid transform",
        ),
        (
            "foo.*",
            "a b",
            "invalid mapping destination: invalid transform",
        ),
        (
            "foo.*",
            "a.{{wildcard(1)}} ",
            "invalid mapping destination: invalid transform",
        ),
        (
            "foo.*",
            ">.a",
            "invalid mapping destination: invalid transform in a",
        ),
    ] {
        refused(source, destination, expected);
    }
    // Blanks matter to mappings only.
    let spaced = SubjectTransform::new(b"foo.*", b"a b.$1").expect("republish takes it");
    assert_eq!(applied(&spaced, b"foo.x"), Some(b"a b.x".to_vec()));
    for destination in ["", "a..b", ">.a"] {
        let error = SubjectTransform::new(b"foo.*", destination.as_bytes());
        let fault = error.expect_err(destination).fault();
        assert_eq!(fault, TransformFault::InvalidSubject, "{destination}");
    }
}

#[test]
fn imports_take_every_wildcard_and_no_other_function() {
    fn check(source: &str, destination: &str, expected: Result<(), &str>) {
        let made = SubjectTransform::strict(source.as_bytes(), destination.as_bytes());
        let made = made.map(|_| ()).map_err(|error| error.to_string());
        assert_eq!(
            made,
            expected.map_err(str::to_owned),
            "{source} to {destination}"
        );
    }
    const IMPORT: &str = "invalid mapping destination: the only mapping function allowed for import transforms is {{Wildcard()}} in ";
    const UNUSED: &str = "invalid mapping destination: not using all of the token wildcard(s) in ";
    check("foo.*.*", "bar.$2.{{wildcard(1)}}", Ok(()));
    check("foo.*.>", "bar.$1.>", Ok(()));
    check("foo", "$KV.bar", Ok(()));
    check("foo.*", "bar", Err(&format!("{UNUSED}bar")));
    check("foo.*.*", "bar.$2", Err(&format!("{UNUSED}bar.$2")));
    for function in [
        "{{partition(2,1)}}",
        "{{random(2)}}",
        "{{left(1,1)}}",
        "{{left(1,0)}}",
        "{{split(1,-)}}",
    ] {
        check(
            "foo.*",
            &format!("bar.{function}"),
            Err(&format!("{IMPORT}{function}")),
        );
    }
    check(
        "foo.*",
        "$2",
        Err("invalid mapping destination: wildcard index out of range in $2: [2]"),
    );
}

#[test]
fn a_source_takes_what_it_matches() {
    // source, subject, taken
    for (source, subject, expected) in [
        ("foo", "foo", true),
        ("foo", "foo.bar", false),
        ("foo.bar", "foo", false),
        ("foo.*", "foo.bar", true),
        ("foo.*", "foo.bar.baz", false),
        ("foo.*", "foo.", false),
        ("foo.*.b", "foo..b", false),
        ("foo.*", "foo.>", false),
        ("foo.*", "foo.*", true),
        ("foo.>", "foo", false),
        ("foo.>", "foo.", true),
        ("foo.>", "foo.a..b", true),
        (">", "foo", true),
        ("*x", "ax", false),
    ] {
        let destination = identity_destination(source.as_bytes());
        let transform = SubjectTransform::mapping(source.as_bytes(), &destination);
        let transform = transform.expect("the identity can be made");
        let outcome = expected.then(|| subject.as_bytes().to_vec());
        assert_eq!(
            applied(&transform, subject.as_bytes()),
            outcome,
            "{source} on {subject}"
        );
    }
}

#[test]
fn an_empty_source_takes_everything() {
    let transform = SubjectTransform::mapping(b"", b"all.>").expect("it can be made");
    assert_eq!(transform.source(), b">");
    assert_eq!(transform.destination(), b"all.>");
    assert_eq!(applied(&transform, b"a.b"), Some(b"all.a.b".to_vec()));
}

#[test]
fn each_random_function_draws_its_own_number_from_the_bits_it_is_given() {
    let transform =
        SubjectTransform::mapping(b"foo", b"{{random(4)}}.{{random(10)}}.{{random(-10)}}");
    let transform = transform.expect("it can be made");
    assert!(!transform.is_deterministic());
    let mut bits = [0, u32::MAX, u32::MAX / 2].into_iter();
    let mut into = Vec::new();
    assert!(transform.apply(b"foo", || bits.next().expect("three draws"), &mut into));
    assert_eq!(into, b"0.9.4");
    assert!(
        SubjectTransform::mapping(b"foo", b"{{partition(3)}}")
            .is_ok_and(|other| other.is_deterministic())
    );
}

#[test]
fn a_partition_without_indexes_hashes_the_whole_subject() {
    let transform =
        SubjectTransform::mapping(b"foo", b"{{partition(10)}}").expect("it can be made");
    assert_eq!(applied(&transform, b"foo"), Some(b"3".to_vec()));
}
