//! How much one poll does, and for whom.

use everjet_api::{ConsumerAction, ConsumerConfig};
use everjet_stream::{CreateConsumer, Outgoing, Polled, Publish, Reads};
use everjet_values::{StreamSequence, Timestamp};

use crate::driver::Driver;

const NOW: Timestamp = Timestamp::from_nanos(1_000_000_000_000_000_000);

fn driver_with(messages: usize, payload: &[u8], consumers: &[&str]) -> Driver {
    let mut driver = Driver::new("{}", NOW);
    let Driver { stream, output, .. } = &mut driver;
    for _ in 0..messages {
        let publish = Publish {
            subject: b"s.a",
            reply: b"",
            headers: b"",
            payload,
        };
        stream.on_publish(NOW, &publish, output);
    }
    for name in consumers {
        let create = CreateConsumer {
            config: ConsumerConfig {
                durable_name: (*name).to_owned(),
                ..ConsumerConfig::default()
            },
            action: ConsumerAction::Create,
            pedantic: false,
        };
        let free = "free".to_owned();
        let created = stream.create_consumer(NOW, create, free, &mut |_| true, output);
        assert!(created.is_ok());
        assert!(stream.on_pull(NOW, name, name.as_bytes(), b"1000", output));
    }
    driver.commit();
    driver
}

/// Polls once and says who got how many messages.
fn poll(driver: &mut Driver, budget: usize, reads: Reads) -> (Polled, String) {
    let Driver { stream, output, .. } = driver;
    let polled = stream.poll(NOW, &mut |_| true, output, budget, reads);
    let mut receivers: Vec<(String, usize)> = Vec::new();
    for outgoing in output.sends.iter() {
        let Outgoing::Delivery { to, .. } = outgoing else {
            continue;
        };
        let to = String::from_utf8_lossy(to).into_owned();
        match receivers.last_mut().filter(|last| last.0 == to) {
            Some((_, count)) => *count += 1,
            None => receivers.push((to, 1)),
        }
    }
    output.clear();
    let shown: Vec<String> = receivers
        .into_iter()
        .map(|(to, count)| format!("{to}:{count}"))
        .collect();
    (polled, shown.join(" "))
}

#[test]
fn a_small_budget_goes_round() {
    let mut driver = driver_with(10, b"x", &["a", "b"]);
    driver.stream.on_durable(StreamSequence(10));
    for (budget, polled, shown) in [
        (4, Polled::More, "a:4"),
        (4, Polled::More, "b:4"),
        (8, Polled::More, "a:6 b:2"),
        (9, Polled::Idle, "b:4"),
        (9, Polled::Idle, ""),
    ] {
        let result = poll(&mut driver, budget, Reads::Resident);
        assert_eq!(result, (polled, shown.to_owned()));
    }
}

#[test]
fn large_messages_end_a_poll_early() {
    let mut driver = driver_with(6, &vec![b'x'; 1 << 20], &["a"]);
    driver.stream.on_durable(StreamSequence(6));
    let (polled, shown) = poll(&mut driver, 100, Reads::Resident);
    assert_eq!((polled, shown.as_str()), (Polled::More, "a:4"));
    let (polled, shown) = poll(&mut driver, 100, Reads::Resident);
    assert_eq!((polled, shown.as_str()), (Polled::Idle, "a:2"));
}

#[test]
fn what_left_memory_waits_for_somebody_who_may_read() {
    let mut driver = driver_with(100, &[b'x'; 300], &["old"]);
    driver.stream.on_durable(StreamSequence(100));
    driver.checkpoint();
    assert!(
        !driver.stream.store().is_resident(StreamSequence(1)),
        "the test has a reason"
    );
    let (polled, shown) = poll(&mut driver, 10, Reads::Resident);
    assert_eq!((polled, shown.as_str()), (Polled::NeedsDisk, ""));
    let (polled, shown) = poll(&mut driver, 10, Reads::Blocking);
    assert_eq!((polled, shown.as_str()), (Polled::More, "old:10"));
    let (polled, shown) = poll(&mut driver, 100, Reads::Blocking);
    assert_eq!((polled, shown.as_str()), (Polled::Idle, "old:90"));
}

#[test]
fn the_stream_goes_on_while_somebody_reads_for_it() {
    let mut driver = driver_with(100, &[b'x'; 300], &["old"]);
    driver.stream.on_durable(StreamSequence(100));
    driver.checkpoint();
    let Driver { stream, output, .. } = &mut driver;
    let beating = br#"{"batch":10,"expires":60000000000,"idle_heartbeat":1000000000}"#;
    assert!(stream.on_pull(NOW, "old", b"old", beating, output));
    let (polled, _) = poll(&mut driver, 10, Reads::Resident);
    assert_eq!(polled, Polled::NeedsDisk);
    // A timer of the same consumer must not make it forget what it waits for.
    let Driver { stream, output, .. } = &mut driver;
    stream.on_timer(
        NOW.plus(std::time::Duration::from_secs(60)),
        &mut |_| true,
        output,
    );
    let reads = stream.take_reads();
    assert_eq!(reads.len(), 1);
    assert!(!stream.wants_reads());
    let (polled, shown) = poll(&mut driver, 10, Reads::Resident);
    assert_eq!((polled, shown.as_str()), (Polled::Idle, ""));
    let fetched = reads.iter().map(everjet_store::ColdRead::run).collect();
    assert!(!driver.stream.admit(fetched), "no timer waits");
    let (polled, shown) = poll(&mut driver, 10, Reads::Resident);
    driver.stream.release_reads();
    // The first message by itself: nobody knew yet that the others would follow.
    assert_eq!((polled, shown.as_str()), (Polled::NeedsDisk, "old:1"));
    let fetched = driver.stream.take_reads();
    let fetched = fetched.iter().map(everjet_store::ColdRead::run).collect();
    driver.stream.admit(fetched);
    let (_, shown) = poll(&mut driver, 5, Reads::Resident);
    assert_eq!(shown, "old:5");
}

#[test]
fn many_who_wait_for_the_disk_are_served_a_few_at_a_time() {
    let names: Vec<String> = (0..40).map(|number| format!("c{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut driver = driver_with(30, &[b'x'; 300], &names);
    driver.stream.on_durable(StreamSequence(30));
    driver.checkpoint();
    let mut delivered = 0;
    for _ in 0..1000 {
        let (_, shown) = poll(&mut driver, 100, Reads::Resident);
        driver.stream.release_reads();
        let counts = shown.split(' ').filter_map(|item| item.split_once(':'));
        delivered += counts
            .map(|(_, count)| count.parse::<usize>().expect("a number"))
            .sum::<usize>();
        let reads = driver.stream.take_reads();
        assert!(reads.len() <= 16);
        driver
            .stream
            .admit(reads.iter().map(everjet_store::ColdRead::run).collect());
        if delivered == 40 * 30 {
            return;
        }
    }
    panic!("{delivered} of 1,200 messages came");
}

#[test]
fn a_damaged_message_is_left_out_and_the_others_are_delivered() {
    let mut driver = driver_with(100, &[b'x'; 300], &["old"]);
    driver.stream.on_durable(StreamSequence(100));
    driver.checkpoint();
    driver.flip_bit(8 * 1500);
    let (polled, shown) = poll(&mut driver, 1000, Reads::Blocking);
    assert_eq!((polled, shown.as_str()), (Polled::Idle, "old:99"));
    let info = driver.stream.consumer_info(NOW, "old").expect("it lives");
    assert_eq!(
        (info.num_pending, info.delivered.stream_seq),
        (0, StreamSequence(100))
    );
}
