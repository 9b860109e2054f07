use super::*;

fn check(call: &str, expected: Option<ApiCall<'_>>) {
    let subject = format!("$JS.API.{call}");
    assert_eq!(parse_api_subject(subject.as_bytes()), expected, "{call}");
}

#[test]
fn every_subject_of_the_table_is_read() {
    let (stream, consumer) = ("S", "C");
    for (call, expected) in [
        ("INFO", ApiCall::AccountInfo),
        ("STREAM.CREATE.S", ApiCall::StreamCreate { stream }),
        ("STREAM.UPDATE.S", ApiCall::StreamUpdate { stream }),
        ("STREAM.NAMES", ApiCall::StreamNames),
        ("STREAM.LIST", ApiCall::StreamList),
        ("STREAM.INFO.S", ApiCall::StreamInfo { stream }),
        ("STREAM.DELETE.S", ApiCall::StreamDelete { stream }),
        ("STREAM.PURGE.S", ApiCall::StreamPurge { stream }),
        ("STREAM.MSG.GET.S", ApiCall::MsgGet { stream }),
        ("STREAM.MSG.DELETE.S", ApiCall::MsgDelete { stream }),
        (
            "CONSUMER.CREATE.S",
            ApiCall::ConsumerCreateLegacyEphemeral { stream },
        ),
        (
            "CONSUMER.CREATE.S.C",
            ApiCall::ConsumerCreate {
                stream,
                consumer,
                filter: None,
            },
        ),
        (
            "CONSUMER.CREATE.S.C.orders.*.>",
            ApiCall::ConsumerCreate {
                stream,
                consumer,
                filter: Some("orders.*.>"),
            },
        ),
        (
            "CONSUMER.DURABLE.CREATE.S.C",
            ApiCall::ConsumerCreateDurable { stream, consumer },
        ),
        ("CONSUMER.NAMES.S", ApiCall::ConsumerNames { stream }),
        ("CONSUMER.LIST.S", ApiCall::ConsumerList { stream }),
        (
            "CONSUMER.INFO.S.C",
            ApiCall::ConsumerInfo { stream, consumer },
        ),
        (
            "CONSUMER.DELETE.S.C",
            ApiCall::ConsumerDelete { stream, consumer },
        ),
        (
            "CONSUMER.MSG.NEXT.S.C",
            ApiCall::ConsumerNext { stream, consumer },
        ),
        (
            "DIRECT.GET.S",
            ApiCall::DirectGet {
                stream,
                subject: None,
            },
        ),
        (
            "DIRECT.GET.S.orders.new",
            ApiCall::DirectGet {
                stream,
                subject: Some("orders.new"),
            },
        ),
    ] {
        check(call, Some(expected));
    }
}

#[test]
fn calls_that_are_not_built_name_the_type_of_their_answer() {
    for (call, response_type) in [
        (
            "STREAM.LEADER.STEPDOWN.S",
            ResponseType::StreamLeaderStepDown,
        ),
        ("STREAM.PEER.REMOVE.S", ResponseType::StreamRemovePeer),
        ("STREAM.PEER.EVACUATE.S", ResponseType::StreamEvacuatePeer),
        ("STREAM.CANCEL_MOVE.S", ResponseType::StreamCancelMove),
        (
            "CONSUMER.LEADER.STEPDOWN.S.C",
            ResponseType::ConsumerLeaderStepDown,
        ),
        ("CONSUMER.PEER.REMOVE.S.C", ResponseType::ConsumerRemovePeer),
        (
            "CONSUMER.PEER.EVACUATE.S.C",
            ResponseType::ConsumerEvacuatePeer,
        ),
    ] {
        check(call, Some(ApiCall::NotSupported { response_type }));
        let error = not_supported(response_type);
        assert!(
            error.is(ErrorCode::ClusterRequired)
                || error
                    .description
                    .ends_with("by this version of Everjet yet"),
            "{call}: {error}"
        );
        assert!(!error.description.contains("this request"), "{call}");
    }
}

#[test]
fn calls_about_one_consumer_name_it() {
    let (stream, consumer) = ("S", "C");
    for (call, expected) in [
        (
            "CONSUMER.PAUSE.S.C",
            ApiCall::ConsumerPause { stream, consumer },
        ),
        (
            "CONSUMER.RESET.S.C",
            ApiCall::ConsumerReset { stream, consumer },
        ),
        (
            "CONSUMER.UNPIN.S.C",
            ApiCall::ConsumerUnpin { stream, consumer },
        ),
    ] {
        check(call, Some(expected));
    }
}

#[test]
fn anything_else_is_not_answered() {
    for call in [
        "",
        "NOPE",
        "INFO.X",
        "STREAM",
        "STREAM.CREATE",
        "STREAM.CREATE.",
        "STREAM.CREATE.A.B",
        "STREAM.NAMES.X",
        "STREAM.MSG.GET",
        "STREAM.TEMPLATE.NAMES",
        "CONSUMER.CREATE",
        "CONSUMER.CREATE..C",
        "CONSUMER.DURABLE.CREATE.S",
        "CONSUMER.INFO.S",
        "CONSUMER.INFO.S.C.D",
        "CONSUMER.MSG.NEXT.S",
        "DIRECT.GET",
        "META.LEADER.STEPDOWN",
        "SERVER.REMOVE",
        "ACCOUNT.PURGE.A",
        "stream.names",
    ] {
        check(call, None);
    }
    assert_eq!(parse_api_subject(b"$JS.API.STREAM.INFO.\xff"), None);
    assert_eq!(parse_api_subject(b"$JS.hub.API.INFO"), None);
}
