//! Clocks that are set: forward while running, forward and back over a restart. What a running server does when its clock is set back is
//! the affair of the server's clock, which goes on.

use serde_json::json;

use crate::client::{Client, PULL};
use crate::rig::{Rig, eventually, wait_until};
use crate::seams::{error_of, sequence_of};

const HOUR: i64 = 3_600;

/// A stream whose messages live for half an hour, and whose window for duplicates is two minutes.
fn with_limits() -> Rig {
    let mut rig = Rig::new();
    let config = json!({
        "name": "S", "subjects": ["s.>"], "max_age": 1_800 * 1_000_000_000_u64,
        "duplicate_window": 120 * 1_000_000_000_u64,
    });
    let created = rig.ask("$JS.API.STREAM.CREATE.S", config.to_string());
    assert_eq!(error_of(&created), None, "{created}");
    rig
}

fn create_consumer(rig: &mut Rig) {
    let config = json!({
        "name": "c", "durable_name": "c", "ack_policy": "explicit", "ack_wait": 60_000_000_000_u64,
    });
    let request = json!({ "stream_name": "S", "config": config }).to_string();
    let created = rig.ask("$JS.API.CONSUMER.CREATE.S.c", request);
    assert_eq!(error_of(&created), None, "{created}");
}

/// Asks for one message, to wait for it if need be.
fn pull(rig: &mut Rig) {
    rig.request_for("$JS.API.CONSUMER.MSG.NEXT.S.c", PULL);
}

fn expect_deliveries(client: &Client, count: usize) {
    wait_until("a delivery", || client.acks().len() == count);
}

fn time_of(rig: &mut Rig, sequence: u64) -> String {
    let request = json!({ "seq": sequence }).to_string();
    let answer = rig.ask("$JS.API.STREAM.MSG.GET.S", request);
    let time = answer["message"]["time"].as_str();
    time.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[test]
fn set_forward_messages_expire_at_once() {
    let mut rig = with_limits();
    rig.store("s.old", "m");
    rig.clock.step(HOUR);
    eventually("the expiry of what is an hour old", || {
        (rig.state()["messages"] == 0).then_some(())
    });
    assert_eq!(rig.store("s.new", "m"), 2);
}

#[test]
fn set_forward_acknowledgements_run_out_at_once() {
    let mut rig = with_limits();
    create_consumer(&mut rig);
    rig.store("s.x", "m");
    let client = Client::of(&rig);
    pull(&mut rig);
    expect_deliveries(&client, 1);
    pull(&mut rig);
    rig.clock.step(HOUR / 10);
    expect_deliveries(&client, 2);
}

#[test]
fn set_back_over_a_restart_message_times_do_not_decrease() {
    let mut rig = with_limits();
    rig.store("s.x", "m");
    rig.stop();
    let mut rig = rig.started_later(-HOUR);
    assert_eq!(rig.store("s.x", "m"), 2);
    let (first, second) = (time_of(&mut rig, 1), time_of(&mut rig, 2));
    assert!(first <= second, "{first} {second}");
    assert_eq!(rig.state()["messages"], 2);
}

#[test]
fn set_back_over_a_restart_acknowledgements_run_out_as_always() {
    let mut rig = with_limits();
    create_consumer(&mut rig);
    rig.store("s.x", "m");
    let client = Client::of(&rig);
    pull(&mut rig);
    expect_deliveries(&client, 1);
    rig.stop();
    let mut rig = rig.started_later(-HOUR);
    let client = Client::of(&rig);
    pull(&mut rig);
    // A minute and a bit, not an hour.
    rig.clock.step(61);
    expect_deliveries(&client, 1);
}

#[test]
fn set_back_over_a_restart_duplicates_are_still_known() {
    let mut rig = with_limits();
    assert_eq!(sequence_of(&rig.ask_once("s.x", "one", "m")), Some(1));
    rig.stop();
    let mut rig = rig.started_later(-HOUR);
    let again = rig.ask_once("s.x", "one", "m");
    assert_eq!(
        (sequence_of(&again), &again["duplicate"]),
        (Some(1), &true.into())
    );
    // The window counts from the message, whose time is an hour ahead.
    rig.clock.step(HOUR + 121);
    let later = rig.ask_once("s.x", "one", "m");
    assert_eq!(later["duplicate"], serde_json::Value::Null, "{later}");
}
