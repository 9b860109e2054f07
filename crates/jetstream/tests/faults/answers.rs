//! Answers of the API tell only of what is durable.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::disk::{Gate, Op, is_journal};
use crate::rig::{Rig, consumer_config, stream_config, wait_until};
use crate::seams::error_of;

#[test]
fn answers_wait_for_the_sync_of_what_they_tell() {
    let mut rig = Rig::with_stream();
    rig.store("s.x", "m");
    let created = rig.ask(
        "$JS.API.STREAM.CREATE.M",
        stream_config("M", "m.>", "memory"),
    );
    assert_eq!(error_of(&created), None, "{created}");
    let (gate, reached) = (Arc::new(Gate::default()), Arc::new(AtomicBool::new(false)));
    let (closed, waits) = (Arc::clone(&gate), Arc::clone(&reached));
    rig.faults.set(move |op, path| {
        if op == Op::Sync && is_journal(path) {
            waits.store(true, Ordering::SeqCst);
            closed.pass();
        }
        Ok(())
    });
    let consumer = consumer_config("c", "explicit");
    let requests = [
        ("$JS.API.CONSUMER.CREATE.S.c", consumer.as_str()),
        ("$JS.API.CONSUMER.NAMES.S", ""),
        ("$JS.API.CONSUMER.LIST.S", ""),
        ("$JS.API.CONSUMER.INFO.S.c", ""),
        ("$JS.API.STREAM.PURGE.S", ""),
        ("$JS.API.STREAM.INFO.S", ""),
        ("$JS.API.STREAM.MSG.GET.S", r#"{"seq":1}"#),
    ];
    let replies: Vec<_> = requests
        .iter()
        .map(|(subject, body)| rig.send(subject, body))
        .collect();
    wait_until("the sync", || reached.load(Ordering::SeqCst));
    // Requests are worked off in order, and a memory stream waits for no disk: with its answer all the others have been worked off.
    let others = rig.ask("$JS.API.STREAM.INFO.M", "");
    assert_eq!(error_of(&others), None, "{others}");
    for ((subject, _), reply) in requests.iter().zip(&replies) {
        let early = rig.inbox.first(reply);
        assert_eq!(early, None, "{subject} is answered before the sync");
    }
    gate.open();
    let answers: Vec<_> = replies.iter().map(|reply| rig.answer(reply)).collect();
    assert_eq!(answers[1]["consumers"], serde_json::json!(["c"]));
    assert_eq!(answers[3]["name"], "c");
    assert_eq!(answers[4]["purged"], 1);
    assert_eq!(answers[5]["state"]["messages"], 0);
    assert_eq!(error_of(&answers[6]), Some(10_037));
}
