//! Answers of nats-server 2.15.1, read and rendered again: nothing may be lost, added or moved.

use everjet_api::{
    AccountInfo, ApiError, ConsumerInfo, ConsumerListResponse, ConsumerNamesResponse, ErrorCode,
    MsgGetResponse, Page, PurgeResponse, ResponseType, StreamCreateResponse, StreamInfo,
    StreamInfoResponse, StreamListResponse, StreamNamesResponse, SuccessResponse, render_error,
    render_response,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

macro_rules! golden {
    ($name:literal) => {
        include_str!(concat!("golden/", $name, ".json")).trim_end()
    };
}

fn read<T: DeserializeOwned>(golden: &str) -> T {
    serde_json::from_str(golden).expect("golden answers decode")
}

fn check(golden: &str, kind: ResponseType, body: &impl Serialize) {
    let rendered = render_response(kind, Ok(body));
    assert_eq!(String::from_utf8_lossy(&rendered), golden);
}

fn names(golden: &str, key: &str) -> Vec<String> {
    let answer: Value = read(golden);
    serde_json::from_value(answer[key].clone()).expect("a list of names")
}

fn items<T: DeserializeOwned>(golden: &str, key: &str) -> Vec<T> {
    let answer: Value = read(golden);
    serde_json::from_value(answer[key].clone()).expect("a list")
}

#[test]
fn account_info() {
    let golden = golden!("account_info");
    check(
        golden,
        ResponseType::AccountInfo,
        &read::<AccountInfo>(golden),
    );
}

#[test]
fn created_streams_of_every_kind() {
    for golden in [
        golden!("stream_create"),
        golden!("stream_create_full"),
        golden!("stream_create_mirror"),
        golden!("stream_create_sources"),
        golden!("stream_create_ttl"),
        golden!("stream_create_counter"),
        golden!("stream_create_async"),
    ] {
        let answer = StreamCreateResponse {
            info: read::<StreamInfo>(golden),
            did_create: true,
        };
        check(golden, ResponseType::StreamCreate, &answer);
    }
    let golden = golden!("stream_update");
    let answer = StreamCreateResponse {
        info: read(golden),
        did_create: false,
    };
    check(golden, ResponseType::StreamUpdate, &answer);
}

#[test]
fn stream_infos() {
    for golden in [
        golden!("stream_info"),
        golden!("stream_info_subjects"),
        golden!("stream_info_deleted"),
    ] {
        let answer = StreamInfoResponse {
            page: read::<Page>(golden),
            info: read(golden),
        };
        check(golden, ResponseType::StreamInfo, &answer);
    }
}

#[test]
fn stream_names_and_list() {
    let golden = golden!("stream_names");
    let answer = StreamNamesResponse {
        page: read(golden),
        streams: names(golden, "streams"),
    };
    check(golden, ResponseType::StreamNames, &answer);

    let golden = golden!("stream_list");
    let answer = StreamListResponse {
        page: read(golden),
        streams: items(golden, "streams"),
        offline: Default::default(),
    };
    check(golden, ResponseType::StreamList, &answer);
}

#[test]
fn what_happens_to_messages() {
    let golden = golden!("stream_purge");
    check(
        golden,
        ResponseType::StreamPurge,
        &read::<PurgeResponse>(golden),
    );
    let golden = golden!("stream_delete");
    check(
        golden,
        ResponseType::StreamDelete,
        &read::<SuccessResponse>(golden),
    );
    for golden in [golden!("stream_msg_get"), golden!("stream_msg_get_plain")] {
        check(
            golden,
            ResponseType::StreamMsgGet,
            &read::<MsgGetResponse>(golden),
        );
    }
    let message = read::<MsgGetResponse>(golden!("stream_msg_get")).message;
    assert_eq!(message.headers, b"NATS/1.0\r\nNats-Msg-Id: 1\r\n\r\n");
    assert_eq!(message.data, b"hi<>&");
}

#[test]
fn created_consumers_of_every_kind() {
    for golden in [
        golden!("consumer_create"),
        golden!("consumer_create_push"),
        golden!("consumer_create_pull"),
        golden!("consumer_create_durable"),
        golden!("consumer_create_ephemeral"),
        golden!("consumer_create_sourcing"),
    ] {
        check(
            golden,
            ResponseType::ConsumerCreate,
            &read::<ConsumerInfo>(golden),
        );
    }
    let golden = golden!("consumer_info");
    check(
        golden,
        ResponseType::ConsumerInfo,
        &read::<ConsumerInfo>(golden),
    );
}

#[test]
fn consumer_names_and_list() {
    let golden = golden!("consumer_names");
    let answer = ConsumerNamesResponse {
        page: read(golden),
        consumers: names(golden, "consumers"),
    };
    check(golden, ResponseType::ConsumerNames, &answer);

    let golden = golden!("consumer_list");
    let answer = ConsumerListResponse {
        page: read(golden),
        consumers: items(golden, "consumers"),
    };
    check(golden, ResponseType::ConsumerList, &answer);
}

#[test]
fn failures_carry_the_empty_fields_of_their_type() {
    let check = |kind: ResponseType, error: ApiError, golden: &str| {
        assert_eq!(String::from_utf8_lossy(&render_error(kind, &error)), golden);
    };
    let not_found = ErrorCode::StreamNotFound.error();
    check(
        ResponseType::StreamInfo,
        not_found.clone(),
        r#"{"type":"io.nats.jetstream.api.v1.stream_info_response","error":{"code":404,"err_code":10059,"description":"stream not found"},"total":0,"offset":0,"limit":0}"#,
    );
    check(
        ResponseType::StreamPurge,
        not_found.clone(),
        r#"{"type":"io.nats.jetstream.api.v1.stream_purge_response","error":{"code":404,"err_code":10059,"description":"stream not found"},"purged":0}"#,
    );
    check(
        ResponseType::ConsumerNames,
        not_found.clone(),
        r#"{"type":"io.nats.jetstream.api.v1.consumer_names_response","error":{"code":404,"err_code":10059,"description":"stream not found"},"total":0,"offset":0,"limit":0,"consumers":[]}"#,
    );
    check(
        ResponseType::ConsumerPause,
        not_found,
        r#"{"type":"io.nats.jetstream.api.v1.consumer_pause_response","error":{"code":404,"err_code":10059,"description":"stream not found"},"paused":false,"pause_until":"0001-01-01T00:00:00Z"}"#,
    );
    check(
        ResponseType::StreamList,
        ErrorCode::InvalidJson.because(r#"json: unknown field "foo""#),
        r#"{"type":"io.nats.jetstream.api.v1.stream_list_response","error":{"code":400,"err_code":10025,"description":"invalid JSON: json: unknown field \"foo\""},"total":0,"offset":0,"limit":0,"streams":[]}"#,
    );
    check(
        ResponseType::StreamRestore,
        ErrorCode::BadRequest.error(),
        r#"{"type":"io.nats.jetstream.api.v1.stream_restore_response","error":{"code":400,"err_code":10003,"description":"bad request"},"deliver_subject":""}"#,
    );
    check(
        ResponseType::StreamUpdate,
        ErrorCode::StreamInvalidConfig
            .because("stream name is required and can not contain '.', '*', '>', '\\', '/'"),
        r#"{"type":"io.nats.jetstream.api.v1.stream_update_response","error":{"code":500,"err_code":10052,"description":"stream name is required and can not contain '.', '*', '\u003e', '\\', '/'"}}"#,
    );
}
