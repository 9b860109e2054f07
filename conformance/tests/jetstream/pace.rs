//! How fast messages are delivered: rate limits, and the pauses they were stored with.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::{start, start_with_orders};

#[test]
fn a_rate_limit_holds_after_the_burst() {
    let (_server, mut js) = start();
    js.create_stream("ORDERS", r#"{"name":"ORDERS","subjects":["order.>"]}"#);
    let quarter = "x".repeat(1 << 18);
    for _ in 0..6 {
        js.store("order.new", &quarter);
    }
    js.raw().send(b"SUB push p\r\n");
    js.raw().expect_quiet();
    let begun = Instant::now();
    // A megabyte at once, and then a quarter every half second.
    let config = r#""deliver_subject":"push","rate_limit_bps":4194304"#;
    let body = format!(r#"{{"stream_name":"ORDERS","config":{{"name":"c",{config}}}}}"#);
    js.publish_to("$JS.API.CONSUMER.CREATE.ORDERS.c", None, &[], &body);
    for _ in 0..6 {
        assert_eq!(js.raw().message().payload.len(), quarter.len());
    }
    let taken = begun.elapsed();
    assert!(taken >= Duration::from_millis(400), "{taken:?}");
}

#[test]
fn stored_messages_come_with_the_pauses_they_were_stored_with() {
    let (_server, mut js) = start_with_orders(1);
    sleep(Duration::from_millis(300));
    js.store("order.new", "2");
    js.create_consumer("ORDERS", "c", r#""replay_policy":"original""#);
    let begun = Instant::now();
    let body = r#"{"batch":3,"expires":20000000000}"#;
    js.publish("$JS.API.CONSUMER.MSG.NEXT.ORDERS.c", &[], body);
    assert_eq!(js.raw().message().text(), "1");
    assert_eq!(js.raw().message().text(), "2");
    let taken = begun.elapsed();
    assert!(taken >= Duration::from_millis(290), "{taken:?}");
    js.publish_to("order.new", None, &[], "3");
    assert_eq!(js.raw().message().text(), "3");
}
