//! Requests of the JetStream API: subjects, bodies, acknowledgements.

use std::fmt::Debug;

use everjet_api::{
    AckSubject, ConsumerCreateRequest, MsgDeleteRequest, MsgGetRequest, PageRequest, PullRequest,
    PurgeRequest, Request, StreamConfig, StreamCreateRequest, StreamInfoRequest,
    StreamNamesRequest, check_consumer_name, check_stream_name, decode_lenient, decode_strict,
    is_empty_request, parse_api_subject,
};
use serde::Serialize;

/// Any body is read or refused by each request; a request that was read is the same when it is written and read again,
/// and what passes the strict reading passes the lenient one.
pub fn check_api(data: &[u8]) {
    check_body::<StreamCreateRequest>(data);
    check_body::<StreamConfig>(data);
    check_body::<StreamInfoRequest>(data);
    check_body::<StreamNamesRequest>(data);
    check_body::<PageRequest>(data);
    check_body::<PurgeRequest>(data);
    check_body::<MsgGetRequest>(data);
    check_body::<MsgDeleteRequest>(data);
    check_body::<ConsumerCreateRequest>(data);
    check_body::<PullRequest>(data);
    if let Ok(pull) = PullRequest::parse(data) {
        assert!(pull.batch >= 1);
    }
    if is_empty_request(data) {
        let request = decode_strict::<StreamInfoRequest>(data);
        assert_eq!(request, Ok(StreamInfoRequest::default()));
    }
}

fn check_body<T: Request + Serialize + PartialEq + Debug>(body: &[u8]) {
    let Ok(request) = decode_lenient::<T>(body) else {
        assert!(decode_strict::<T>(body).is_err());
        return;
    };
    if let Ok(strict) = decode_strict::<T>(body) {
        assert_eq!(strict, request);
    }
    let written = serde_json::to_vec(&request).expect("a request has string keys");
    assert_eq!(decode_strict::<T>(&written).as_ref(), Ok(&request));
}

/// Any subject is read as an API call, an acknowledgement, both or neither; names in it are checked; what an
/// acknowledgement says is read again from what is written.
pub fn check_api_subjects(data: &[u8]) {
    if let Some(call) = parse_api_subject(data) {
        let _ = call.response_type();
        assert!(data.starts_with(b"$JS.API."));
    }
    if let Some(ack) = AckSubject::parse(data) {
        let mut written = Vec::new();
        ack.render(&mut written);
        assert_eq!(AckSubject::parse(&written), Some(ack));
    }
    if let Ok(name) = str::from_utf8(data) {
        for checked in [check_stream_name(name), check_consumer_name(name)] {
            if checked.is_ok() {
                assert!(!name.is_empty() && !name.contains(['.', '*', '>', ' ', '/', '\\']));
            }
        }
    }
}
