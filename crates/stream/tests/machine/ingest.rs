//! Fast batches: a publisher hears now and then how far its messages are stored.

use everjet_stream::{Effect, Inflight, Publish};
use everjet_values::Timestamp;

use crate::driver::Driver;
use crate::transcript::check;

#[test]
fn a_publisher_hears_now_and_then_how_far_it_came() {
    check(
        r#"
        > stream {"allow_batched":true}
        > pub@in.a.2.fail.1.0.$FI s.a 1
        flow {"type":"ack","seq":0,"msgs":2}
        > pub@in.a.2.fail.2.1.$FI s.b 2
        flow {"type":"ack","seq":2,"msgs":2}
        > pub@in.a.2.fail.3.1.$FI s.a 3
        > pub@in.a.2.fail.3.4.$FI s.a
        flow {"type":"ack","seq":2,"msgs":2}
        > pub@in.a.2.fail.4.2.$FI s.a 4
        stored 4 batch a of 4
        > pub@in.a.2.fail.5.1.$FI s.a 5
        refused 10208 batch publish ID unknown
        > pub@in.b.10.fail.1.2.$FI s.a 5
        stored 5 batch b of 1
        > pub@in.c.10.fail.1.0.$FI s.a 6
        flow {"type":"ack","seq":0,"msgs":10}
        > pub@in.c.10.fail.2.3.$FI s.a
        stored 6 batch c of 1
        > restart
        > state
        messages 6 first 1 last 6 subjects {"s.a": 5, "s.b": 1} deleted []
        "#,
    );
}

#[test]
fn gaps_end_a_batch_or_are_told() {
    check(
        r#"
        > stream {"allow_batched":true}
        > pub@in.a.10.fail.1.0.$FI s.a 1
        flow {"type":"ack","seq":0,"msgs":10}
        > pub@in.a.10.fail.3.1.$FI s.a 3
        flow {"type":"gap","last_seq":2,"seq":3}
        stored 1 batch a of 1
        > pub@in.a.10.ok.1.0.$FI s.a 1
        flow {"type":"ack","seq":0,"msgs":10}
        > pub@in.a.10.ok.3.1.$FI s.a 3
        flow {"type":"gap","last_seq":2,"seq":3}
        > pub@in.a.10.ok.5.4.$FI s.a
        flow {"type":"gap","last_seq":4,"seq":6}
        flow {"type":"ack","seq":0,"msgs":10}
        > pub@in.a.10.ok.2.1.$FI s.a 2
        flow {"type":"gap","last_seq":6,"seq":2}
        stored 3 batch a of 5
        > pub@in.h.10.fail.1.0.$FI s.a 1
        flow {"type":"ack","seq":0,"msgs":10}
        > pub@in.h.10.fail.3.4.$FI s.a
        flow {"type":"gap","last_seq":2,"seq":4}
        stored 4 batch h of 1
        "#,
    );
}

#[test]
fn errors_and_duplicates_of_a_batch() {
    check(
        r#"
        > stream {"allow_batched":true}
        > pub@in.j.10.fail.1.0.$FI s.a 1 Nats-Msg-Id=m
        flow {"type":"ack","seq":0,"msgs":10}
        > pub@in.j.10.fail.2.1.$FI s.a 1 Nats-Msg-Id=m
        > pub@in.j.10.fail.3.2.$FI s.a 1 Nats-Msg-Id=m
        stored 1 batch j of 3
        > pub@in.k.10.fail.1.2.$FI s.a 1 Nats-Msg-Id=m
        flow {"stream":"S","seq":1,"duplicate": true,"batch":"k","count":1}
        > pub@in.k.10.fail.1.0.$FI s.a 1 Nats-Msg-Id=m
        flow {"type":"ack","seq":0,"msgs":10}
        > pub@in.k.10.fail.2.3.$FI s.a
        stored 0 batch k of 1
        > pub@in.l.10.fail.1.0.$FI s.a 1 Nats-Expected-Last-Sequence=7
        flow {"type":"ack","seq":0,"msgs":10}
        refused 10071 wrong last sequence: 1
        > pub@in.m.10.fail.1.0.$FI s.a 2
        flow {"type":"ack","seq":0,"msgs":10}
        > pub@in.m.10.fail.2.1.$FI s.a 3 Nats-Expected-Last-Sequence=7
        flow {"type":"err","seq":2,"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 2"}}
        stored 2 batch m of 1
        > pub@in.n.10.ok.1.0.$FI s.a 2 Nats-Expected-Last-Sequence=7
        flow {"type":"ack","seq":0,"msgs":10}
        flow {"type":"err","seq":1,"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 2"}}
        > pub@in.n.10.ok.2.1.$FI s.a 3
        > pub@in.n.10.ok.3.2.$FI s.a 3 Nats-Expected-Last-Sequence=7
        flow {"type":"err","seq":3,"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 3"}}
        stored 3 batch n of 2
        > pub@in.o.10.fail.1.0.$FI s.a 1 Nats-Required-Api-Level=99
        refused 10185 JetStream minimum api level required
        > pub@in.o.10.fail.2.1.$FI s.a 1
        refused 10208 batch publish ID unknown
        "#,
    );
}

#[test]
fn what_is_no_call_or_not_enabled_is_refused() {
    check(
        r#"
        > stream {"allow_batched":true}
        > pub@in.a.10.fail.1.3.$FI s.a
        refused 10206 batch publish pattern is invalid
        > pub@in.a.10.fail.1.4.$FI s.a
        refused 10208 batch publish ID unknown
        > pub@in.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.10.fail.1.0.$FI s.a
        refused 10207 batch publish ID is invalid
        > pub@in.a.10.fail.1.0.$FI s.a
        flow {"type":"ack","seq":0,"msgs":10}
        > wait 10s
        > pub@in.a.10.fail.2.1.$FI s.a
        refused 10208 batch publish ID unknown
        > pub@in.a.10.fail.1.0.$FI s.a
        flow {"type":"ack","seq":0,"msgs":10}
        > update {}
        updated
        > pub@in.a.10.fail.2.1.$FI s.a
        refused 10205 batch publish is disabled
        > state
        messages 2 first 1 last 2 subjects {"s.a": 2} deleted []
        "#,
    );
}

#[test]
fn publishers_share_how_far_they_may_run_ahead() {
    check(
        r#"
        > stream {"allow_batched":true}
        > pub@in.q.100000.fail.1.0.$FI s.a
        flow {"type":"ack","seq":0,"msgs":500}
        > pub@in.r.9.fail.1.0.$FI s.a
        flow {"type":"ack","seq":0,"msgs":1}
        flow {"type":"ack","seq":1,"msgs":2}
        > pub@in.r.9.fail.2.1.$FI s.a
        > pub@in.r.9.fail.3.1.$FI s.a
        flow {"type":"ack","seq":3,"msgs":4}
        > pub@in.r.9.fail.4.3.$FI s.a
        stored 4 batch r of 3
        "#,
    );
}

#[test]
fn a_stream_has_a_thousand_fast_batches_and_a_server_fifty_times_as_many() {
    let now = Timestamp::from_nanos(1);
    let shared = std::sync::Arc::new(Inflight::default());
    let mut refused = 0;
    let mut drivers: Vec<Driver> = (0..51)
        .map(|_| Driver::new(r#"{"allow_batched":true,"storage":"memory"}"#, now))
        .collect();
    for driver in &mut drivers {
        driver.stream.share_inflight(&shared);
        for number in 0..1001 {
            let reply = format!("in.b{number}.10.fail.1.0.$FI");
            let publish = Publish {
                subject: b"s.a",
                reply: reply.as_bytes(),
                headers: b"",
                payload: b"",
            };
            driver.stream.on_publish(now, &publish, &mut driver.output);
            let is_full = |effect: &Effect<'_>| matches!(effect, Effect::Refused { error, .. } if error.err_code == 10211);
            refused += driver.output.effects.iter().filter(is_full).count();
            driver.output.clear();
        }
    }
    assert_eq!(refused, 50 + 1001);
}
