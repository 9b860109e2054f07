use super::*;
use crate::{AckPolicy, ConsumerAction, ConsumerConfig, Nanos, Placement, StreamSource};

fn stream(body: &str) -> Result<StreamCreateRequest, String> {
    decode_strict(body.as_bytes()).map_err(|error| {
        assert!(error.is(ErrorCode::InvalidJson));
        error
            .description
            .strip_prefix("invalid JSON: ")
            .expect("all begin so")
            .to_owned()
    })
}

fn refused(body: &str, expected: &str) {
    assert_eq!(stream(body), Err(expected.to_owned()), "{body}");
}

#[test]
fn an_empty_body_sets_nothing() {
    for body in [
        "",
        "  ",
        "{}",
        "null",
        r#"{"subjects":null,"mirror":null,"max_msgs":null}"#,
    ] {
        assert_eq!(stream(body), Ok(StreamCreateRequest::default()), "{body}");
    }
}

#[test]
fn unknown_fields_are_refused_at_any_depth() {
    refused(
        r#"{"name":"X","subjectss":["x"]}"#,
        r#"json: unknown field "subjectss""#,
    );
    refused(r#"{"mirror":{"nam":"e"}}"#, r#"json: unknown field "nam""#);
    refused(
        r#"{"sources":[{"external":{"x":1}}]}"#,
        r#"json: unknown field "x""#,
    );
    refused(
        r#"{"template_owner":"x"}"#,
        r#"json: unknown field "template_owner""#,
    );
    refused(r#"{"a\"b":1}"#, r#"json: unknown field "a\"b""#);
}

#[test]
fn lenient_decoding_leaves_them_out() {
    let request: StreamCreateRequest =
        decode_lenient(br#"{"name":"X","subjectss":["x"],"mirror":{"nam":"e","name":"M"}}"#)
            .expect("it is lenient");
    assert_eq!(request.config.name, "X");
    assert_eq!(
        request.config.mirror,
        Some(StreamSource {
            name: "M".into(),
            ..StreamSource::default()
        })
    );
}

#[test]
fn keys_are_found_in_any_case() {
    let request = stream(r#"{"Name":"X","SUBJECTS":["x"],"Pedantic":true}"#).expect("as in Go");
    assert_eq!(request.config.name, "X");
    assert_eq!(request.config.subjects, ["x"]);
    assert!(request.pedantic);
}

#[test]
fn values_of_the_wrong_type_name_their_field() {
    for (body, expected) in [
        (
            r#"{"name":5}"#,
            "json: cannot unmarshal number into field name of type string",
        ),
        (
            r#"{"max_msgs":"7"}"#,
            "json: cannot unmarshal string into field max_msgs of type int64",
        ),
        (
            r#"{"max_msgs":1.5}"#,
            "json: cannot unmarshal number 1.5 into field max_msgs of type int64",
        ),
        (
            r#"{"max_msgs":18446744073709551615}"#,
            "json: cannot unmarshal number 18446744073709551615 into field max_msgs of type int64",
        ),
        (
            r#"{"max_age":"1s"}"#,
            "json: cannot unmarshal string into field max_age of type int64",
        ),
        (
            r#"{"no_ack":1}"#,
            "json: cannot unmarshal number into field no_ack of type bool",
        ),
        (
            r#"{"subjects":"x"}"#,
            "json: cannot unmarshal string into field subjects of type array",
        ),
        (
            r#"{"subjects":[1]}"#,
            "json: cannot unmarshal number into field subjects.0 of type string",
        ),
        (
            r#"{"mirror":[]}"#,
            "json: cannot unmarshal array into field mirror of type object",
        ),
        (
            r#"{"consumer_limits":{"max_ack_pending":"1"}}"#,
            "json: cannot unmarshal string into field consumer_limits.max_ack_pending of type int64",
        ),
        (
            r#"{"metadata":{"a":1}}"#,
            "json: cannot unmarshal number into field metadata.a of type string",
        ),
        (
            r#"{"pedantic":1}"#,
            "json: cannot unmarshal number into value of type bool",
        ),
        (
            "[]",
            "json: cannot unmarshal array into value of type object",
        ),
        (
            "5",
            "json: cannot unmarshal number into value of type object",
        ),
        (
            "true",
            "json: cannot unmarshal bool into value of type object",
        ),
        (r#"{"storage":"tape"}"#, r#"can not unmarshal "\"tape\"""#),
        (r#"{"name":"X","Name":"Y"}"#, "duplicate field `name`"),
    ] {
        refused(body, expected);
    }
}

#[test]
fn words_that_are_not_known_are_told() {
    for (config, expected) in [
        (
            r#"{"config":{"ack_policy":"zz"}}"#,
            r#"invalid JSON: can not unmarshal "\"zz\"""#,
        ),
        (
            r#"{"config":{"priority_policy":"zz"}}"#,
            r#"invalid JSON: unknown priority policy: "zz""#,
        ),
        (
            r#"{"action":"boo"}"#,
            r#"invalid JSON: unknown consumer action: "boo""#,
        ),
    ] {
        let error = decode_strict::<ConsumerCreateRequest>(config.as_bytes()).expect_err(config);
        assert_eq!(error.description, expected);
    }
}

#[test]
fn mistakes_of_syntax_are_told_with_their_place() {
    refused(
        r#"{"name":}"#,
        "invalid character '}' looking for beginning of value at offset 9",
    );
    refused(r#"{"name":"X""#, "unexpected EOF");
    assert!(stream(&"[".repeat(100_000)).is_err());
    let error = decode_strict::<StreamConfig>(b"{\"name\":\"\xff\"}").expect_err("not UTF-8");
    assert!(error.is(ErrorCode::InvalidJson), "{error}");
}

#[test]
fn a_consumer_request_is_read() {
    let request: ConsumerCreateRequest = decode_strict(
        br#"{"stream_name":"ORDERS","config":{"durable_name":"C","ack_policy":"explicit","backoff":[1,2]},
            "action":"create","pedantic":true}"#,
    )
    .expect("it is right");
    assert_eq!(
        request,
        ConsumerCreateRequest {
            stream_name: "ORDERS".into(),
            config: ConsumerConfig {
                durable_name: "C".into(),
                ack_policy: AckPolicy::Explicit,
                backoff: vec![Nanos(1), Nanos(2)],
                ..ConsumerConfig::default()
            },
            action: ConsumerAction::Create,
            pedantic: true,
        }
    );
}

#[test]
fn an_empty_placement_is_kept() {
    let request =
        stream(r#"{"placement":{"tags":[]},"metadata":{"a":null}}"#).expect("it is right");
    assert_eq!(request.config.placement, Some(Placement::default()));
    assert_eq!(
        request.config.metadata.get("a").map(String::as_str),
        Some("")
    );
}

#[test]
fn requests_that_ask_for_nothing() {
    for (body, empty) in [
        ("", true),
        ("{}", true),
        (" { } ", true),
        ("[]", false),
        ("null", false),
        ("  ", false),
        ("x", false),
        (r#"{"a":1}"#, false),
    ] {
        assert_eq!(is_empty_request(body.as_bytes()), empty, "{body:?}");
    }
}
