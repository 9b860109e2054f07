//! Work queues and interest: what leaves a stream because consumers are done with it. Each state also after a restart.

use everjet_api::{AckPolicy, ConsumerConfig, Retention, StreamConfig};
use everjet_consumer::{Consumer, ConsumerId, ConsumerState, Position, WaitingDelivery};
use everjet_store::{NewMessage, StoreOptions, StreamId, StreamStore};
use everjet_stream::Stream;
use everjet_values::{ConsumerSequence, EntryIndex, StreamSequence, Timestamp};

use crate::transcript::check;

#[test]
fn a_work_queue_gives_each_message_to_one_and_forgets_it() {
    check(
        r#"
        > stream {"retention":"workqueue"}
        > consumer {"durable_name":"w","ack_policy":"explicit"}
        consumer w from 1 with 0
        > put s.a 1
        > put s.a 2
        > put s.a 3
        > put s.a 4
        > pull w {"batch":4,"no_wait":true}
        in <- s.a seq 1 try 1 delivery 1 left 3 "1"
        in <- s.a seq 2 try 1 delivery 2 left 2 "2"
        in <- s.a seq 3 try 1 delivery 3 left 1 "3"
        in <- s.a seq 4 try 1 delivery 4 left 0 "4"
        > ack! w 2
        answer to acker
        > ack w 3 +TERM
        > ack w 4 -NAK 1m
        > state
        messages 2 first 1 last 4 subjects {"s.a": 2} deleted [2, 3]
        > restart
        > ack! w 1 +NXT {"no_wait":true}
        acker <- 404 No Messages
        > state
        messages 1 first 4 last 4 subjects {"s.a": 1} deleted []
        > checkpoint
        > restart
        > drop w
        dropped
        > state
        messages 1 first 4 last 4 subjects {"s.a": 1} deleted []
        > consumer {"durable_name":"v","ack_policy":"explicit"}
        consumer v from 4 with 1
        > pull v
        in <- s.a seq 4 try 1 delivery 1 left 0 "4"
        > ack v 4
        > state
        messages 0 first 5 last 4 subjects {} deleted []
        > restart
        > pub s.a 5
        stored 5
        "#,
    );
}

#[test]
fn consumers_of_a_work_queue_share_no_subject() {
    check(
        r#"
        > stream {"retention":"workqueue"}
        > consumer {"durable_name":"x"}
        error 10084 consumer in pull mode requires explicit ack policy on workqueue stream
        > consumer {"durable_name":"x","ack_policy":"all"}
        error 10098 workqueue stream requires explicit ack
        > consumer {"durable_name":"x","deliver_subject":"d"}
        error 10098 workqueue stream requires explicit ack
        > consumer {"durable_name":"x","ack_policy":"explicit","deliver_policy":"new"}
        error 10101 consumer must be deliver all on workqueue stream
        > consumer {"durable_name":"a","ack_policy":"explicit","filter_subject":"s.a"}
        consumer a from 1 with 0
        > consumer {"durable_name":"x","ack_policy":"explicit"}
        error 10099 multiple non-filtered consumers not allowed on workqueue stream
        > consumer {"durable_name":"x","ack_policy":"explicit","filter_subject":"s.*"}
        error 10100 filtered consumer not unique on workqueue stream
        > consumer {"durable_name":"b","ack_policy":"explicit","filter_subjects":["s.b","s.c"]}
        consumer b from 1 with 0
        > consumer {"durable_name":"b","ack_policy":"explicit","filter_subjects":["s.b","s.a"]}
        error 10100 filtered consumer not unique on workqueue stream
        > consumer {"durable_name":"b","ack_policy":"explicit"}
        error 10099 multiple non-filtered consumers not allowed on workqueue stream
        > consumer {"durable_name":"b","ack_policy":"explicit","filter_subject":"s.b","description":"new"}
        consumer b from 1 with 0
        > drop a
        dropped
        > consumer {"durable_name":"b","ack_policy":"explicit"}
        consumer b from 1 with 0
        > consumer {"durable_name":"a","ack_policy":"explicit","filter_subject":"s.a"}
        error 10100 filtered consumer not unique on workqueue stream
        "#,
    );
}

#[test]
fn retention_changes_only_between_limits_and_interest() {
    check(
        r#"
        > put s.a 1
        > put s.b 2
        > consumer {"durable_name":"a","ack_policy":"explicit","filter_subject":"s.a"}
        consumer a from 1 with 1
        > update {"retention":"workqueue"}
        error 10052 stream configuration update can not change retention policy to/from workqueue
        > pull a
        in <- s.a seq 1 try 1 delivery 1 left 0 "1"
        > put s.a 3
        > ack a 1
        > update {"retention":"interest"}
        updated
        > state
        messages 1 first 3 last 3 subjects {"s.a": 1} deleted []
        > restart
        > update {"retention":"limits"}
        updated
        > pull a
        in <- s.a seq 3 try 1 delivery 2 left 0 "3"
        > ack a 3
        > state
        messages 1 first 3 last 3 subjects {"s.a": 1} deleted []
        > update {"retention":"interest"}
        updated
        > state
        messages 0 first 4 last 3 subjects {} deleted []
        > restart
        > stream {"retention":"workqueue"}
        > update {"retention":"interest"}
        error 10052 stream configuration update can not change retention policy to/from workqueue
        > update {}
        error 10052 stream configuration update can not change retention policy to/from workqueue
        "#,
    );
}

#[test]
fn without_interest_nothing_is_stored_and_the_sequence_goes_on() {
    check(
        r#"
        > stream {"retention":"interest","max_msgs":1,"discard":"new"}
        > pub s.a 1 Nats-Msg-Id=one
        stored 1
        > pub s.a 1 Nats-Msg-Id=one
        stored 1 duplicate
        > pub s.a 2 Nats-Expected-Last-Msg-Id=two
        refused 10070 wrong last msg ID: one
        > pub s.a 2 Nats-Expected-Last-Sequence=1
        stored 2
        > pub s.a 3 Nats-Expected-Last-Msg-Id=one
        refused 10070 wrong last msg ID: 
        > state
        messages 0 first 3 last 2 subjects {} deleted []
        > restart
        > pub s.a 1 Nats-Msg-Id=one
        stored 1 duplicate
        > consumer {"durable_name":"a","ack_policy":"explicit","filter_subject":"s.a"}
        consumer a from 3 with 0
        > pub s.a 3
        stored 3
        # Full; but what is not stored needs no room.
        > pub s.a 4
        refused 10077 maximum messages exceeded
        > pub s.b 4
        stored 4
        > checkpoint
        > restart
        > state
        messages 1 first 3 last 4 subjects {"s.a": 1} deleted [4]
        > pull a
        in <- s.a seq 3 try 1 delivery 1 left 0 "3"
        # In one turn: the acknowledgement makes room.
        > ack a 3
        > pub s.a 5
        stored 5
        > stream {"retention":"interest","storage":"memory"}
        > pub s.a 1
        stored 1
        > state
        messages 0 first 2 last 1 subjects {} deleted []
        "#,
    );
}

#[test]
fn a_message_goes_when_the_last_one_who_wants_it_is_done() {
    check(
        r#"
        > stream {"retention":"interest"}
        > consumer {"durable_name":"all","ack_policy":"all"}
        consumer all from 1 with 0
        > consumer {"durable_name":"b","ack_policy":"explicit","filter_subject":"s.b"}
        consumer b from 1 with 0
        > consumer {"durable_name":"n","filter_subject":"s.n"}
        consumer n from 1 with 0
        > put s.a 1
        > put s.b 2
        > put s.n 3
        > put s.b 4
        > put s.c 5
        > pull all {"batch":9,"no_wait":true}
        in <- s.a seq 1 try 1 delivery 1 left 4 "1"
        in <- s.b seq 2 try 1 delivery 2 left 3 "2"
        in <- s.n seq 3 try 1 delivery 3 left 2 "3"
        in <- s.b seq 4 try 1 delivery 4 left 1 "4"
        in <- s.c seq 5 try 1 delivery 5 left 0 "5"
        in <- 404 No Messages
        > ack all 4
        > state
        messages 4 first 2 last 5 subjects {"s.b": 2, "s.c": 1, "s.n": 1} deleted []
        > restart
        # Without acknowledgements a message is done with when it is delivered.
        > pull n
        in <- s.n seq 3 try 1 delivery 1 left 0 "3"
        > state
        messages 3 first 2 last 5 subjects {"s.b": 2, "s.c": 1} deleted [3]
        > restart
        > pull b 2
        in <- s.b seq 2 try 1 delivery 1 left 1 "2"
        in <- s.b seq 4 try 1 delivery 2 left 0 "4"
        > ack b 4
        > state
        messages 2 first 2 last 5 subjects {"s.b": 1, "s.c": 1} deleted [3, 4]
        > drop b
        dropped
        > state
        messages 1 first 5 last 5 subjects {"s.c": 1} deleted []
        > restart
        > drop all
        dropped
        > state
        messages 0 first 6 last 5 subjects {} deleted []
        > restart
        "#,
    );
}

#[test]
fn interest_follows_consumers_that_come_and_change() {
    check(
        r#"
        > stream {"retention":"interest"}
        > consumer {"durable_name":"a","ack_policy":"explicit"}
        consumer a from 1 with 0
        > put s.a 1
        > put s.b 2
        > put s.a 3
        > put s.b 4
        > consumer {"durable_name":"late","ack_policy":"explicit","deliver_policy":"last"}
        consumer late from 4 with 1
        > consumer {"durable_name":"new","ack_policy":"explicit","deliver_policy":"new"}
        consumer new from 5 with 0
        > consumer {"durable_name":"each","ack_policy":"explicit","deliver_policy":"last_per_subject","filter_subject":"s.*"}
        consumer each from 3 with 2
        > consumer update {"durable_name":"a","ack_policy":"explicit","filter_subject":"s.b"}
        consumer a from 1 with 2
        > state
        messages 3 first 2 last 4 subjects {"s.a": 1, "s.b": 2} deleted []
        > restart
        > pull each {"batch":2,"no_wait":true}
        in <- s.a seq 3 try 1 delivery 1 left 1 "3"
        in <- s.b seq 4 try 1 delivery 2 left 0 "4"
        > ack each 3
        > ack each 4
        > state
        messages 2 first 2 last 4 subjects {"s.b": 2} deleted [3]
        > drop a
        dropped
        > state
        messages 1 first 4 last 4 subjects {"s.b": 1} deleted []
        > checkpoint
        > restart
        > pull late
        in <- s.b seq 4 try 1 delivery 1 left 0 "4"
        > ack late 4
        > state
        messages 0 first 5 last 4 subjects {} deleted []
        "#,
    );
}

#[test]
fn what_was_delivered_often_enough_stays_until_it_is_acknowledged_late() {
    check(
        r#"
        > stream {"retention":"interest"}
        > consumer {"durable_name":"a","ack_policy":"explicit","max_deliver":2,"ack_wait":1000000000}
        consumer a from 1 with 0
        > consumer {"durable_name":"b","ack_policy":"explicit"}
        consumer b from 1 with 0
        > put s.a 1
        > put s.a 2
        > pull b {"batch":2,"no_wait":true}
        in <- s.a seq 1 try 1 delivery 1 left 1 "1"
        in <- s.a seq 2 try 1 delivery 2 left 0 "2"
        > pull a {"batch":2,"no_wait":true}
        in <- s.a seq 1 try 1 delivery 1 left 1 "1"
        in <- s.a seq 2 try 1 delivery 2 left 0 "2"
        > wait 1s
        > pull a {"batch":2,"no_wait":true}
        in <- s.a seq 1 try 2 delivery 3 left 0 "1"
        in <- s.a seq 2 try 2 delivery 4 left 0 "2"
        > wait 1s
        > info a
        delivered 4/2 floor 4/2 pending 0 redelivered 2 waiting 0 left 0
        > restart
        > ack b 1
        > ack b 2
        > state
        messages 2 first 1 last 2 subjects {"s.a": 2} deleted []
        > checkpoint
        > restart
        > ack! a 1
        answer to acker
        > ack a 2 -NAK
        > info a
        delivered 4/2 floor 4/2 pending 0 redelivered 1 waiting 0 left 0
        > state
        messages 1 first 2 last 2 subjects {"s.a": 1} deleted []
        > restart
        > drop a
        dropped
        > state
        messages 0 first 3 last 2 subjects {} deleted []
        "#,
    );
}

#[test]
fn what_only_a_consumer_in_memory_held_goes_with_it() {
    check(
        r#"
        > stream {"retention":"interest"}
        > consumer {"durable_name":"m","ack_policy":"explicit","mem_storage":true}
        consumer m from 1 with 0
        > consumer {"durable_name":"a","ack_policy":"explicit","filter_subject":"s.a"}
        consumer a from 1 with 0
        > put s.a 1
        > put s.a 2
        > put s.b 3
        > put s.b 4
        > put s.a 5
        > pull m {"batch":3,"no_wait":true}
        in <- s.a seq 1 try 1 delivery 1 left 4 "1"
        in <- s.a seq 2 try 1 delivery 2 left 3 "2"
        in <- s.b seq 3 try 1 delivery 3 left 2 "3"
        > ack! m 3
        answer to acker
        > ack m 1
        > pull a 2
        in <- s.a seq 1 try 1 delivery 1 left 2 "1"
        in <- s.a seq 2 try 1 delivery 2 left 1 "2"
        > ack a 1
        > ack a 2
        > state
        messages 3 first 2 last 5 subjects {"s.a": 2, "s.b": 1} deleted [3]
        # Nobody is left who could say that he is done with 4: it stays, as it would had a consumer been lost.
        > kill
        > state
        messages 2 first 4 last 5 subjects {"s.a": 1, "s.b": 1} deleted []
        > restart
        > drop a
        dropped
        > state
        messages 0 first 6 last 5 subjects {} deleted []
        "#,
    );
}

#[test]
fn limits_age_and_requests_remove_what_is_wanted_all_the_same() {
    check(
        r#"
        > stream {"retention":"workqueue","max_msgs":3,"max_age":10000000000}
        > consumer {"durable_name":"w","ack_policy":"explicit"}
        consumer w from 1 with 0
        > put s.a 1
        > put s.a 2
        > put s.b 3
        > pull w {"batch":2,"no_wait":true}
        in <- s.a seq 1 try 1 delivery 1 left 2 "1"
        in <- s.a seq 2 try 1 delivery 2 left 1 "2"
        > ack w 2
        > put s.a 4
        > state
        messages 3 first 1 last 4 subjects {"s.a": 2, "s.b": 1} deleted [2]
        > put s.a 5
        > info w
        delivered 2/2 floor 2/2 pending 0 redelivered 0 waiting 0 left 3
        > ack! w 1
        answer to acker
        > delete 4
        deleted
        > purge {"filter":"s.b"}
        purged 1
        > info w
        delivered 2/2 floor 2/2 pending 0 redelivered 0 waiting 0 left 1
        > restart
        > wait 11s
        > state
        messages 0 first 6 last 5 subjects {} deleted []
        > info w
        delivered 2/2 floor 2/2 pending 0 redelivered 0 waiting 0 left 0
        > restart
        # A consumer that filters something else delivered it: whoever is done with it first takes it away from both.
        > stream {"retention":"workqueue"}
        > consumer {"durable_name":"a","ack_policy":"explicit","filter_subject":"s.a"}
        consumer a from 1 with 0
        > put s.a 1
        > put s.a 2
        > pull a
        in <- s.a seq 1 try 1 delivery 1 left 1 "1"
        > consumer {"durable_name":"a","ack_policy":"explicit","filter_subject":"s.b"}
        consumer a from 2 with 0
        > consumer {"durable_name":"b","ack_policy":"explicit","filter_subject":"s.a"}
        consumer b from 1 with 2
        > pull b
        in <- s.a seq 1 try 1 delivery 1 left 1 "1"
        > ack b 1
        > info a
        delivered 1/1 floor 1/1 pending 0 redelivered 0 waiting 0 left 0
        > restart
        "#,
    );
}

#[test]
fn what_another_server_kept_is_kept() {
    let now = Timestamp::from_nanos(1_000_000_000_000_000_000);
    let mut store = StreamStore::in_memory(StoreOptions::default());
    for number in 1..=5 {
        let message = NewMessage {
            time: now,
            subject: if number == 4 { b"s.b" } else { b"s.a" },
            headers: b"",
            payload: b"x",
        };
        store.append(EntryIndex(number), &message);
    }
    let config = ConsumerConfig {
        durable_name: "c".to_owned(),
        ack_policy: AckPolicy::Explicit,
        filter_subject: "s.a".to_owned(),
        ..ConsumerConfig::default()
    };
    let position = |number| Position {
        consumer: ConsumerSequence(number),
        stream: StreamSequence(number),
    };
    let waiting = [WaitingDelivery {
        stream: StreamSequence(2),
        consumer: ConsumerSequence(2),
        count: 1,
        delivered_at: now,
    }];
    let state = ConsumerState::restored(&config, position(3), position(0), &waiting);
    let consumer = Consumer {
        id: ConsumerId(1),
        name: "c".to_owned(),
        created: now,
        config,
        state: state.expect("it fits"),
    };
    let config = StreamConfig {
        name: "S".to_owned(),
        subjects: vec!["s.>".to_owned()],
        retention: Retention::Interest,
        ..StreamConfig::default()
    };
    let id = StreamId(1);
    let mut stream = Stream::imported(id, config, now, store, vec![consumer], EntryIndex(5));
    stream.lead(now);
    // 1 and 3 were delivered and are not waited for: given up, as far as anybody can know. 4 is for nobody.
    assert_eq!(stream.store().messages(), 5);
    let info = stream.consumer_info(now, "c").expect("it was imported");
    assert_eq!((info.num_ack_pending, info.num_pending), (1, 1));
    assert_eq!(info.num_redelivered, 2);
}
