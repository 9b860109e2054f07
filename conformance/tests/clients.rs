//! The official clients of Python, JavaScript and Rust run the ORDERS story, with two restarts of the server in between, and work off a queue.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use async_nats::jetstream::{self, AckKind, consumer, stream};
use everjet_conformance::{Certificate, Pki, ServerProcess, Signal, executable};
use futures_util::{StreamExt, TryStreamExt};

const INSTALL: &str = "`cargo xtask clients` installs it (.ci/run calls that)";

/// Runs a script against a fresh server and restarts the server when the script asks for it.
#[track_caller]
fn run(program: &Path, script: &str) {
    drop(run_on(
        ServerProcess::start_jetstream(),
        program,
        script,
        &[],
    ));
}

#[track_caller]
fn run_on(
    mut server: ServerProcess,
    program: &Path,
    script: &str,
    arguments: &[&str],
) -> ServerProcess {
    assert!(program.exists(), "no {}: {INSTALL}", program.display());
    let script = script_path(script);
    // Node resolves packages from the script's place, so the script goes where they are.
    let script = match script
        .extension()
        .is_some_and(|extension| extension == "mjs")
    {
        true => {
            let name = script.file_name().expect("a script has a name");
            let copy = executable::clients().join(name);
            std::fs::copy(&script, &copy).expect("the folder of the clients is writable");
            copy
        }
        false => script,
    };
    let mut child = Command::new(program)
        .arg(script)
        .arg(server.url())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the client's program starts");
    let mut input = child.stdin.take().expect("stdin is piped");
    let output = BufReader::new(child.stdout.take().expect("stdout is piped"));
    let mut last = String::new();
    for line in output.lines() {
        last = line.expect("the script prints text");
        match last.as_str() {
            "restart" => {
                let status = server.terminate();
                assert!(status.success(), "{status}");
            }
            "kill" => kill(&mut server),
            _ => continue,
        }
        server.start_again();
        input.write_all(b"go on\n").expect("the script listens");
    }
    let status = child.wait().expect("our own child can be waited for");
    assert!(
        status.success() && last == "done",
        "{status}, last line {last:?}"
    );
    server
}

/// `kill -9`. nats-server is stopped instead: it forgets acknowledgements it has confirmed (docs/differences.md).
#[track_caller]
fn kill(server: &mut ServerProcess) {
    match executable::is_reference() {
        true => assert!(server.terminate().success()),
        false => server.kill(),
    }
}

#[test]
fn python_nats_py_runs_the_story() {
    run(
        &executable::clients().join("venv/bin/python"),
        "python/run.py",
    );
}

#[test]
fn python_nats_py_works_off_a_queue() {
    run(
        &executable::clients().join("venv/bin/python"),
        "python/retention.py",
    );
}

#[test]
fn python_nats_py_uses_buckets() {
    run(
        &executable::clients().join("venv/bin/python"),
        "python/buckets.py",
    );
}

#[test]
fn node_uses_buckets() {
    let packages = executable::clients().join("node_modules/@nats-io/kv");
    assert!(packages.is_dir(), "no {}: {INSTALL}", packages.display());
    run(&node(), "node/buckets.mjs");
}

/// The same with a compressed stream in an encrypted store, through a stop and a `kill -9`.
#[test]
fn python_nats_py_runs_the_story_compressed_and_encrypted() {
    for cipher in ["chacha", "aes"] {
        let server = ServerProcess::start(&format!(
            "jetstream {{ store_dir: \"{{dir}}/store\", key: \"not a secret\", cipher: {cipher} }}\n"
        ));
        let python = executable::clients().join("venv/bin/python");
        let mut server = run_on(server, &python, "python/run.py", &["s2"]);
        assert!(server.terminate().success());
        let mut folders = vec![server.store()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let bytes = std::fs::read(&path).expect("a file");
                let shows = bytes.windows(9).any(|part| part == b"order.new");
                assert!(!shows, "{} shows a subject", path.display());
            }
        }
    }
}

#[test]
fn node_jetstream_runs_the_story() {
    let packages = executable::clients().join("node_modules/@nats-io/jetstream");
    assert!(packages.is_dir(), "no {}: {INSTALL}", packages.display());
    run(&node(), "node/run.mjs");
}

/// The `node` of the path.
fn node() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let node = std::env::split_paths(&path)
        .map(|folder| folder.join("node"))
        .find(|file| file.is_file());
    node.unwrap_or_else(|| PathBuf::from("node"))
}

/// A server with TLS that asks for certificates, and what its clients show.
fn secured(block: &str) -> (ServerProcess, Pki, Certificate) {
    let pki = Pki::default();
    let config = format!(
        "tls {{\n{}verify: true\nca_file: \"{}\"\n{block}\n}}\n",
        pki.server("server").lines(),
        pki.ca_file().display()
    );
    let client = pki.client("client");
    (ServerProcess::start(&config), pki, client)
}

/// Runs a script against a server with TLS, with INFO first and with the handshake first.
#[track_caller]
fn run_over_tls(program: &Path, script: &Path) {
    for (block, first) in [("", None), ("handshake_first: true", Some("first"))] {
        let (server, pki, client) = secured(block);
        let output = Command::new(program)
            .arg(script)
            .arg(server.url())
            .args([&pki.ca_file(), &client.cert_file, &client.key_file])
            .args(first)
            .stderr(Stdio::inherit())
            .output()
            .expect("the client's program starts");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.trim_end().ends_with("done"),
            "{block}: {}, {text:?}",
            output.status
        );
    }
}

fn script_path(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("clients")
        .join(path)
}

#[test]
fn python_nats_py_connects_over_tls() {
    let python = executable::clients().join("venv/bin/python");
    assert!(python.exists(), "no {}: {INSTALL}", python.display());
    run_over_tls(&python, &script_path("python/tls.py"));
}

#[test]
fn node_connects_over_tls() {
    let packages = executable::clients().join("node_modules/@nats-io/transport-node");
    assert!(packages.is_dir(), "no {}: {INSTALL}", packages.display());
    // Node resolves packages from the script's place, so the script goes where they are.
    let copy = executable::clients().join("tls.mjs");
    std::fs::copy(script_path("node/tls.mjs"), &copy)
        .expect("the folder of the clients is writable");
    run_over_tls(&node(), &copy);
}

#[tokio::test]
async fn rust_async_nats_connects_over_tls() {
    for (block, first) in [("", false), ("handshake_first: true", true)] {
        let (server, pki, client) = secured(block);
        let mut options = async_nats::ConnectOptions::new()
            .require_tls(true)
            .add_root_certificates(pki.ca_file())
            .add_client_certificate(client.cert_file.clone(), client.key_file.clone());
        if first {
            options = options.tls_first();
        }
        let url = server.url().replace("nats://127.0.0.1", "tls://localhost");
        let connection = options.connect(url).await.expect("connected");
        let mut subscription = connection.subscribe("tls.*").await.expect("subscribed");
        for size in [0, 100, 100_000, 1_000_000] {
            let body: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            let sent = connection.publish("tls.body", body.clone().into()).await;
            sent.expect("published");
            let message = tokio::time::timeout(PATIENCE, subscription.next()).await;
            let message = message.expect("it comes in time").expect("it comes");
            assert!(message.payload == body, "{block} {size}");
        }
    }
}

/// Who shows no certificate is told so by TLS, and the client says it.
#[tokio::test]
async fn rust_async_nats_is_refused_without_a_certificate() {
    let (server, pki, _) = secured("");
    let url = server.url().replace("nats://127.0.0.1", "tls://localhost");
    let refused = async_nats::ConnectOptions::new()
        .require_tls(true)
        .add_root_certificates(pki.ca_file())
        .connect(url)
        .await;
    assert!(refused.is_err());
}

const PATIENCE: Duration = Duration::from_secs(20);

/// Takes exactly the messages `first..=last`, in order, and waits for the server to confirm each acknowledgement.
async fn take<S, E>(messages: &mut S, first: u64, last: u64)
where
    S: futures_util::Stream<Item = Result<jetstream::Message, E>> + Unpin,
    E: std::fmt::Debug,
{
    for expected in first..=last {
        let message = loop {
            let next = tokio::time::timeout(PATIENCE, messages.next())
                .await
                .expect("a message comes in time");
            match next.expect("the subscription goes on") {
                Ok(message) => break message,
                // The client reports that the server was away, and goes on.
                Err(error) => eprintln!("passed over: {error:?}"),
            }
        };
        assert_eq!(
            message
                .info()
                .expect("a delivered message has its numbers")
                .stream_sequence,
            expected
        );
        assert_eq!(message.payload, format!("{{\"id\": \"{expected}\"}}"));
        message
            .double_ack_with(AckKind::Ack)
            .await
            .expect("the acknowledgement is confirmed");
    }
}

async fn publish(js: &jetstream::Context, first: u64, last: u64) {
    for number in first..=last {
        let body = format!("{{\"id\": \"{number}\"}}");
        let ack = js
            .publish("order.new", body.into())
            .await
            .expect("published")
            .await
            .expect("acknowledged");
        assert_eq!((ack.stream.as_str(), ack.sequence), ("ORDERS", number));
    }
}

/// Waits until the server answers again after a restart.
async fn settle(stream: &stream::Stream) {
    let wait = async {
        while stream.get_info().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("the client reconnects");
}

#[tokio::test]
async fn rust_async_nats_runs_the_story() {
    let mut server = ServerProcess::start_jetstream();
    let client = async_nats::ConnectOptions::new()
        .max_reconnects(None)
        .reconnect_delay_callback(|_| Duration::from_millis(50))
        .connect(server.url())
        .await
        .expect("connected");
    let mut js = jetstream::new(client);
    // Short, because a request that leaves while the server is away is lost and must be sent again.
    js.set_timeout(Duration::from_secs(2));
    let config = stream::Config {
        name: "ORDERS".to_owned(),
        subjects: vec!["order.*".to_owned()],
        max_age: Duration::from_secs(7 * 86_400),
        max_message_size: 1_048_576,
        ..Default::default()
    };
    let stream = js.create_stream(config.clone()).await.expect("created");
    js.create_stream(config.clone())
        .await
        .expect("the same again is fine");
    let other = stream::Config {
        subjects: vec!["other.*".to_owned()],
        ..config
    };
    let refused = js
        .create_stream(other)
        .await
        .expect_err("another configuration is refused");
    assert!(
        refused.to_string().contains("10058") || refused.to_string().contains("already in use"),
        "{refused}"
    );
    publish(&js, 1, 10).await;

    let pull = consumer::pull::Config {
        durable_name: Some("puller".to_owned()),
        ..Default::default()
    };
    let puller = stream.create_consumer(pull).await.expect("created");
    let mut batch = puller
        .fetch()
        .max_messages(4)
        .messages()
        .await
        .expect("requested");
    take(&mut batch, 1, 4).await;
    let push = consumer::push::Config {
        durable_name: Some("pusher".to_owned()),
        deliver_subject: "pushed.here".to_owned(),
        max_ack_pending: 5,
        ..Default::default()
    };
    let pusher = stream.create_consumer(push).await.expect("created");
    let mut pushed = pusher.messages().await.expect("subscribed");
    take(&mut pushed, 1, 7).await;

    assert!(server.terminate().success());
    server.start_again();

    settle(&stream).await;
    let info = stream.get_info().await.expect("the stream is back");
    assert_eq!(
        (
            info.state.messages,
            info.state.first_sequence,
            info.state.last_sequence
        ),
        (10, 1, 10)
    );
    let floor = puller
        .get_info()
        .await
        .expect("the consumer is back")
        .ack_floor;
    assert_eq!(floor.stream_sequence, 4);
    take(&mut pushed, 8, 10).await;
    publish(&js, 11, 20).await;
    take(&mut pushed, 11, 20).await;
    let mut batch = puller
        .fetch()
        .max_messages(4)
        .messages()
        .await
        .expect("requested");
    take(&mut batch, 5, 8).await;

    kill(&mut server);
    server.start_again();

    settle(&stream).await;
    publish(&js, 21, 25).await;
    let mut consumed = puller.messages().await.expect("requested");
    take(&mut consumed, 9, 25).await;
    take(&mut pushed, 21, 25).await;
    let info = pusher.get_info().await.expect("the consumer is back");
    assert_eq!((info.num_pending, info.num_ack_pending), (0, 0));
    let stored = stream.get_raw_message(25).await.expect("stored");
    assert_eq!(&stored.payload[..], b"{\"id\": \"25\"}");
    let names: Vec<String> = stream.consumer_names().try_collect().await.expect("listed");
    assert_eq!(names.len(), 2, "{names:?}");
    js.delete_stream("ORDERS").await.expect("deleted");
}

#[tokio::test]
async fn rust_async_nats_works_off_a_queue() {
    let server = ServerProcess::start_jetstream();
    let client = async_nats::connect(server.url()).await.expect("connected");
    let js = jetstream::new(client);
    let config = stream::Config {
        name: "JOBS".to_owned(),
        subjects: vec!["job.*".to_owned()],
        retention: stream::RetentionPolicy::WorkQueue,
        ..Default::default()
    };
    let mut jobs = js.create_stream(config).await.expect("created");
    let worker = consumer::pull::Config {
        durable_name: Some("worker".to_owned()),
        ack_policy: consumer::AckPolicy::Explicit,
        ..Default::default()
    };
    let worker = jobs.create_consumer(worker).await.expect("created");
    let other = consumer::pull::Config {
        durable_name: Some("other".to_owned()),
        ..Default::default()
    };
    let refused = jobs.create_consumer(other).await;
    assert!(refused.is_err(), "a second consumer of everything");
    for number in 0..20 {
        let ack = js.publish(format!("job.{number}"), "work".into()).await;
        ack.expect("sent").await.expect("stored");
    }
    let mut messages = worker.messages().await.expect("messages");
    for number in 1..=20_u64 {
        let message = messages.next().await.expect("one more").expect("a message");
        let info = message.info().expect("an acknowledgement subject");
        assert_eq!(info.stream_sequence, number);
        message.double_ack().await.expect("confirmed");
    }
    let empty = async {
        while jobs.info().await.expect("info").state.messages > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, empty)
        .await
        .expect("what was acknowledged goes");
    assert_eq!(jobs.cached_info().state.last_sequence, 20);
}

#[tokio::test]
async fn rust_async_nats_hears_that_the_server_is_a_lame_duck() {
    let server =
        ServerProcess::start("lame_duck_duration: \"30s\"\nlame_duck_grace_period: \"100ms\"\n");
    let (events, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let client = async_nats::ConnectOptions::new()
        .event_callback(move |event| {
            // The test may have ended already.
            drop(events.send(event));
            async {}
        })
        .connect(server.url())
        .await
        .expect("connected");
    client.flush().await.expect("the server answers");
    server.signal(Signal::USR2);
    for wanted in [
        async_nats::Event::LameDuckMode,
        async_nats::Event::Disconnected,
    ] {
        let wait = async {
            while let Some(event) = heard.recv().await {
                if event == wanted {
                    return;
                }
            }
            panic!("no more events");
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .expect("the event comes in time");
    }
}
