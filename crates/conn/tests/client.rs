//! Transcripts of sessions: what a client sends and what it is answered, the same however the bytes are cut.
//!
//! The answers are those of nats-server 2.15.1. What the driver is asked to do is shown between `<` and `>`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use everjet_conn::{
    Action, Client, ClientLimits, CloseReason, Credentials, Entrance, Introduction, Peer,
    PresetCredentials, ServerFacts, Subscriptions,
};
use everjet_values::Timestamp;
use everjet_wire::{Decoded, ServerInfo, decode};

const START: Timestamp = Timestamp::from_nanos(1_000_000_000_000);

/// The sids that the driver would have.
#[derive(Default)]
struct Known(HashMap<Vec<u8>, ()>);

impl Subscriptions for Known {
    fn contains(&self, sid: &[u8]) -> bool {
        self.0.contains_key(sid)
    }

    fn reaches(&self, count: usize) -> bool {
        self.0.len() >= count
    }
}

struct Session {
    client: Client,
    known: Known,
    shown: Vec<u8>,
    closed: Option<CloseReason>,
    unread: Vec<u8>,
}

impl Session {
    fn start(limits: ClientLimits) -> Self {
        let info = ServerInfo {
            server_id: "ID".to_owned(),
            headers: true,
            ..ServerInfo::default()
        };
        let account = "$G".to_owned();
        let facts = Arc::new(ServerFacts { info, account });
        let ip = "127.0.0.1".parse().expect("an address");
        let client = Client::new(
            Arc::new(limits),
            facts,
            Peer {
                id: 5,
                ip: Some(ip),
            },
            START,
        );
        Self {
            client,
            known: Known::default(),
            shown: Vec::new(),
            closed: None,
            unread: Vec::new(),
        }
    }

    fn feed(&mut self, now: Timestamp, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
        self.client.on_data(now);
        let input = std::mem::take(&mut self.unread);
        let mut rest = &input[..];
        while self.closed.is_none() && !rest.is_empty() {
            match decode(rest, self.client.limits()) {
                Ok(Decoded::Incomplete { .. }) => break,
                Ok(Decoded::Frame { frame, used }) => {
                    rest = &rest[used..];
                    match self
                        .client
                        .on_frame(now, frame, &self.known, &mut self.shown)
                    {
                        Ok(action) => self.perform(action),
                        Err(close) => self.closed = Some(close.reason),
                    }
                }
                Err(error) => {
                    let close = self.client.on_decode_error(error, &mut self.shown);
                    self.closed = Some(close.reason);
                }
            }
        }
        self.unread = rest.to_vec();
    }

    fn perform(&mut self, action: Action<'_>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let shown = match action {
            Action::None | Action::Refused(_) | Action::Connected => return,
            Action::Publish(message) => format!("<pub {}>", text(message.subject)),
            Action::Subscribe { filter, queue, sid } => {
                self.known.0.insert(sid.to_vec(), ());
                format!("<sub {} {:?} {}>", text(filter), queue.map(text), text(sid))
            }
            Action::Unsubscribe { sid, max } => {
                if max.is_none() {
                    self.known.0.remove(sid);
                }
                format!("<unsub {} {max:?}>", text(sid))
            }
            Action::Reconnected => {
                self.known.0.clear();
                "<drop subscriptions>".to_owned()
            }
        };
        self.shown.extend_from_slice(shown.as_bytes());
    }

    /// What was shown since the last call.
    fn taken(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.shown)).expect("the tests send text")
    }

    fn tick(&mut self, after: Duration) -> String {
        let now = START.plus(after);
        if let Err(close) = self.client.on_timer(now, &mut self.shown) {
            self.closed = Some(close.reason);
        }
        self.taken()
    }
}

/// Runs the session whole, and cut in two at every place.
fn check_with(limits: &ClientLimits, input: &str, expected: &str, closed: Option<CloseReason>) {
    let input = input.replace('\n', "\r\n");
    let expected = expected.replace('\n', "\r\n");
    for cut in 0..=input.len() {
        let mut session = Session::start(limits.clone());
        session.feed(START, &input.as_bytes()[..cut]);
        session.feed(START, &input.as_bytes()[cut..]);
        assert_eq!(session.taken(), expected, "cut at {cut} of {input:?}");
        assert_eq!(session.closed, closed, "cut at {cut} of {input:?}");
    }
}

fn check(input: &str, expected: &str, closed: Option<CloseReason>) {
    check_with(&ClientLimits::default(), input, expected, closed);
}

const QUIET: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true}\n";

fn quiet(input: &str, expected: &str, closed: Option<CloseReason>) {
    check(&format!("{QUIET}{input}"), expected, closed);
}

#[test]
fn the_greeting_is_info() {
    let session = Session::start(ClientLimits::default());
    let mut out = Vec::new();
    session.client.greeting(&mut out);
    let text = String::from_utf8(out).expect("text");
    assert!(
        text.starts_with("INFO {\"server_id\":\"ID\"") && text.ends_with("} \r\n"),
        "{text}"
    );
    assert!(
        text.contains("\"client_id\":5,\"client_ip\":\"127.0.0.1\""),
        "{text}"
    );
    assert!(text.contains("\"max_payload\":1048576"), "{text}");
    assert!(
        !text.contains("auth_required") && !text.contains("connect_info"),
        "{text}"
    );
}

#[test]
fn a_session_without_connect_is_verbose() {
    check(
        "SUB foo 1\nPUB foo 2\nhi\nPING\nUNSUB 1\n",
        "+OK\n<sub foo None 1>+OK\n<pub foo>PONG\n+OK\n<unsub 1 None>",
        None,
    );
    check("CONNECT {}\nPING\n", "+OK\nPONG\n", None);
}

#[test]
fn what_connect_asks_for_holds() {
    quiet(
        "SUB a q 1\nPUB a 0\n\nPING\n",
        "<sub a Some(\"q\") 1><pub a>PONG\n",
        None,
    );
    let mut session = Session::start(ClientLimits::default());
    assert!(session.client.echoes() && !session.client.supports_headers());
    session.feed(START, b"CONNECT {\"echo\":false,\"headers\":true,\"no_responders\":true,\"name\":\"n\",\"lang\":\"l\",\"version\":\"1\"}\r\n");
    assert!(!session.client.echoes());
    assert!(session.client.supports_headers() && session.client.wants_no_responders());
    let identity = session.client.identity().expect("after CONNECT");
    assert_eq!(
        (&*identity.name, &*identity.lang, &*identity.version),
        ("n", "l", "1")
    );
}

#[test]
fn the_first_pong_comes_before_the_second_info() {
    let mut session = Session::start(ClientLimits::default());
    session.feed(
        START,
        b"CONNECT {\"verbose\":true,\"protocol\":1}\r\nPING\r\nPING\r\n",
    );
    let text = session.taken();
    assert!(text.starts_with("+OK\r\nPONG\r\nINFO {"), "{text}");
    assert!(
        text.contains("\"connect_info\":true,\"remote_account\":\"$G\""),
        "{text}"
    );
    assert!(text.ends_with("} \r\nPONG\r\n"), "{text}");
    assert_eq!(text.matches("INFO").count(), 1);
}

#[test]
fn what_changes_is_told_after_the_first_pong_to_who_takes_it() {
    let changed = || {
        let info = ServerInfo {
            ldm: true,
            ..ServerInfo::default()
        };
        let account = "$G".to_owned();
        Arc::new(ServerFacts { info, account })
    };
    for (protocol, told) in [(0, false), (1, true)] {
        let mut session = Session::start(ClientLimits::default());
        let connect = format!("CONNECT {{\"verbose\":false,\"protocol\":{protocol}}}\r\n");
        session.feed(START, connect.as_bytes());
        session.client.announce(changed(), &mut session.shown);
        assert_eq!(session.taken(), "", "before the first PONG");
        session.feed(START, b"PING\r\n");
        let text = session.taken();
        let info = "PONG\r\nINFO {";
        assert_eq!(
            text.starts_with(info) && text.contains("\"ldm\":true"),
            told
        );
        session.client.announce(changed(), &mut session.shown);
        let text = session.taken();
        assert_eq!(text.contains("\"ldm\":true"), told, "{text}");
        assert!(!text.contains("connect_info"), "{text}");
        assert_eq!(text.matches("INFO").count(), usize::from(told));
    }
    let mut silent = Session::start(ClientLimits::default());
    silent.client.announce(changed(), &mut silent.shown);
    assert_eq!(silent.taken(), "");
}

#[test]
fn an_address_that_comes_late_is_told_late() {
    let info = ServerInfo::default();
    let account = "$G".to_owned();
    let facts = Arc::new(ServerFacts { info, account });
    let peer = Peer { id: 5, ip: None };
    let mut session = Session::start(ClientLimits::default());
    session.client = Client::new(Arc::default(), facts, peer, START);
    session.client.greeting(&mut session.shown);
    assert!(!session.taken().contains("client_ip"));
    let ip = "10.1.2.3".parse().expect("an address");
    session.client.set_peer_ip(ip);
    session.feed(
        START,
        b"CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n",
    );
    let text = session.taken();
    assert!(text.contains("\"client_ip\":\"10.1.2.3\""), "{text}");
}

#[test]
fn subjects_are_checked() {
    quiet(
        "SUB foo..x 1\nSUB foo. 1\nPING\n",
        "-ERR 'Invalid Subject'\n-ERR 'Invalid Subject'\nPONG\n",
        None,
    );
    quiet(
        "SUB >x 4\nSUB foo* 5\n",
        "<sub >x None 4><sub foo* None 5>",
        None,
    );
    // Only a pedantic client hears of what it publishes, and even then it is published.
    quiet(
        "PUB foo.* 0\n\nPUB foo..b 0\n\n",
        "<pub foo.*><pub foo..b>",
        None,
    );
    check(
        "PUB foo.* 0\n\n",
        "-ERR 'Invalid Publish Subject'\n+OK\n<pub foo.*>",
        None,
    );
}

#[test]
fn subjects_of_the_server_are_refused_and_the_connection_stays() {
    check(
        "PUB $NRG.x 0\n\nPUB a _R_.x 0\n\nPUB a $JS.ACK.x 0\n\nPING\n",
        "-ERR 'Permissions Violation for Publish to \"$NRG.x\"'\n\
         -ERR 'Permissions Violation for Publish with Reply of \"_R_.x\"'\n\
         -ERR 'Permissions Violation for Publish with Reply of \"$JS.ACK.x\"'\nPONG\n",
        None,
    );
    quiet(
        "SUB a _sys_ 5\nPING\n",
        "-ERR 'Permissions Violation for Subscription to \"a\" using queue \"_sys_\"'\nPONG\n",
        None,
    );
}

#[test]
fn a_sid_in_use_is_passed_over() {
    check("SUB a 1\nSUB b 1\n", "+OK\n<sub a None 1>+OK\n", None);
    quiet(
        "SUB a 1\nUNSUB 1 5\nUNSUB 77\n",
        "<sub a None 1><unsub 1 Some(5)><unsub 77 None>",
        None,
    );
    quiet("SUB a 1\nUNSUB 1 0\n", "<sub a None 1><unsub 1 None>", None);
}

#[test]
fn limits_on_subscriptions_refuse_and_keep_the_connection() {
    let limits = ClientLimits {
        subscriptions_max: 2,
        subscription_tokens_max: 3,
        ..ClientLimits::default()
    };
    check_with(
        &limits,
        &format!("{QUIET}SUB a 1\nSUB b 2\nSUB c 3\nUNSUB 1\nSUB a.b.c.d 4\nSUB a.b.c 5\n"),
        "<sub a None 1><sub b None 2>-ERR 'maximum subscriptions exceeded'\n<unsub 1 None>\
         -ERR 'Permissions Violation for Subscription to \"a.b.c.d\", too many tokens'\n\
         <sub a.b.c None 5>",
        None,
    );
}

#[test]
fn a_repeated_connect_changes_only_what_it_says() {
    quiet(
        "CONNECT {}\nSUB a 1\nCONNECT {\"verbose\":true}\nSUB a 1\n",
        "<drop subscriptions><sub a None 1>+OK\n<drop subscriptions>+OK\n<sub a None 1>",
        None,
    );
    let limits = ClientLimits {
        credentials: Some(Credentials::Token("t".to_owned())),
        ..ClientLimits::default()
    };
    let first = "CONNECT {\"verbose\":false,\"auth_token\":\"t\"}\n";
    check_with(
        &limits,
        &format!("{first}CONNECT {{}}\nPING\n"),
        "<drop subscriptions>PONG\n",
        None,
    );
    check_with(
        &limits,
        &format!("{first}CONNECT {{\"auth_token\":\"x\"}}\n"),
        "-ERR 'Authorization Violation'\n",
        Some(CloseReason::AuthenticationFailure),
    );
}

#[test]
fn a_repeated_connect_drops_the_subscriptions() {
    check(
        "SUB a 1\nCONNECT {\"verbose\":false}\nSUB a 1\nSUB b 2\n",
        "+OK\n<sub a None 1><sub b None 2>",
        None,
    );
    quiet(
        &format!("SUB a 1\n{QUIET}SUB a 1\n"),
        "<sub a None 1><drop subscriptions><sub a None 1>",
        None,
    );
}

#[test]
fn what_is_no_protocol_closes() {
    let violation = Some(CloseReason::ProtocolViolation);
    quiet("FOO\n", "-ERR 'Unknown Protocol Operation'\n", violation);
    quiet("SUB x\n", "", violation);
    quiet("PUB x a\n", "", violation);
    quiet("CONNECT {bad}\n", "", violation);
    check("HPUB a 12 12\nNATS/1.0\n\n\n", "", violation);
    quiet("-ERR 'x'\nPING\n", "", Some(CloseReason::ParseError));
    quiet("INFO {}\n+OK\nPING\n", "PONG\n", None);
    quiet(
        "PUB x 1048577\n",
        "-ERR 'Maximum Payload Violation'\n",
        Some(CloseReason::MaximumPayloadExceeded),
    );
    quiet(
        &format!("SUB {}", "x".repeat(5000)),
        "-ERR 'maximum control line exceeded'\n",
        Some(CloseReason::MaximumControlLineExceeded),
    );
}

#[test]
fn connects_that_cannot_be_are_refused() {
    check(
        "CONNECT {\"protocol\":2}\n",
        "-ERR 'invalid client protocol'\n",
        Some(CloseReason::BadClientProtocolVersion),
    );
    check(
        "CONNECT {\"no_responders\":true}\n",
        "-ERR 'no responders requires headers support'\n",
        Some(CloseReason::NoRespondersRequiresHeaders),
    );
    check(
        "CONNECT {\"account\":\"x\"}\n",
        "-ERR 'Authorization Violation'\n",
        Some(CloseReason::AuthenticationFailure),
    );
}

fn guarded() -> ClientLimits {
    ClientLimits {
        credentials: Some(Credentials::User {
            name: "u".to_owned(),
            password: "p".to_owned(),
        }),
        ..ClientLimits::default()
    }
}

#[test]
fn without_credentials_nothing_but_connect_is_heard() {
    let denied = "-ERR 'Authorization Violation'\n";
    let failure = Some(CloseReason::AuthenticationFailure);
    for input in [
        "PING\n",
        "SUB a 1\n",
        "FOO\n",
        "PUB a 1000000\n",
        "CONNECT {\"protocol\":2}\n",
        "CONNECT {}\n",
        "CONNECT {\"user\":\"u\",\"pass\":\"x\"}\n",
        "CONNECT {\"user\":\"x\",\"pass\":\"p\"}\n",
        "CONNECT {\"auth_token\":\"p\"}\n",
    ] {
        check_with(&guarded(), input, denied, failure);
    }
    let welcome = "CONNECT {\"user\":\"u\",\"pass\":\"p\",\"verbose\":false}\n";
    check_with(
        &guarded(),
        &format!("{welcome}PUB a 2\nhi\nPING\n"),
        "<pub a>PONG\n",
        None,
    );
    check_with(
        &guarded(),
        &format!("{welcome}SUB a 1\nCONNECT {{\"user\":\"u\"}}\nPING\n"),
        &format!("<sub a None 1>{denied}"),
        failure,
    );
}

#[test]
fn a_token_is_enough_where_one_is_asked_for() {
    let limits = ClientLimits {
        credentials: Some(Credentials::Token("t0ken".to_owned())),
        ..ClientLimits::default()
    };
    check_with(
        &limits,
        "CONNECT {\"auth_token\":\"t0ken\"}\n",
        "+OK\n",
        None,
    );
    let denied = "-ERR 'Authorization Violation'\n";
    let failure = Some(CloseReason::AuthenticationFailure);
    check_with(
        &limits,
        "CONNECT {\"auth_token\":\"token\"}\n",
        denied,
        failure,
    );
    let session = Session::start(limits);
    let mut out = Vec::new();
    session.client.greeting(&mut out);
    let text = String::from_utf8(out).expect("text");
    assert!(text.contains("\"auth_required\":true"), "{text}");
}

#[test]
fn authentication_has_a_deadline() {
    let mut session = Session::start(guarded());
    assert_eq!(
        session.client.next_timer(),
        START.plus(Duration::from_secs(2))
    );
    assert_eq!(session.tick(Duration::from_millis(1999)), "");
    assert_eq!(
        session.tick(Duration::from_secs(2)),
        "-ERR 'Authentication Timeout'\r\n"
    );
    assert_eq!(session.closed, Some(CloseReason::AuthenticationTimeout));
}

#[test]
fn silent_clients_are_pinged_until_they_are_stale() {
    let seconds = Duration::from_secs;
    let mut session = Session::start(ClientLimits::default());
    session.feed(START, b"CONNECT {\"verbose\":false}\r\n");
    // The first PING measures the round trip; the others ask whether anybody is there.
    assert_eq!(session.client.next_timer(), START.plus(seconds(2)));
    assert_eq!(session.tick(seconds(1)), "");
    assert_eq!(session.tick(seconds(2)), "PING\r\n");
    session.feed(START.plus(seconds(3)), b"PONG\r\n");
    assert_eq!(session.client.round_trip(), Some(seconds(1)));
    session.feed(START.plus(seconds(100)), b"PING\r\n");
    assert_eq!(session.taken(), "PONG\r\n");
    assert_eq!(session.client.next_timer(), START.plus(seconds(122)));
    assert_eq!(
        session.tick(seconds(122)),
        "",
        "it was heard within the interval"
    );
    assert_eq!(session.tick(seconds(242)), "PING\r\n");
    assert_eq!(session.tick(seconds(362)), "PING\r\n");
    assert_eq!(session.tick(seconds(482)), "-ERR 'Stale Connection'\r\n");
    assert_eq!(session.closed, Some(CloseReason::StaleConnection));
}

#[test]
fn who_talks_without_answering_is_not_stale() {
    let seconds = Duration::from_secs;
    let mut session = Session::start(ClientLimits::default());
    session.feed(START, b"CONNECT {\"verbose\":false}\r\n");
    assert_eq!(session.tick(seconds(2)), "PING\r\n");
    for due in (122..3_600).step_by(120) {
        session.feed(START.plus(seconds(due - 1)), b"+OK\r\n");
        assert_eq!(session.tick(seconds(due)), "", "{due}");
    }
    // After an hour the round trip time is asked for again.
    session.feed(START.plus(seconds(3_601)), b"+OK\r\n");
    assert_eq!(session.tick(seconds(3_602)), "");
    session.feed(START.plus(seconds(3_721)), b"+OK\r\n");
    assert_eq!(session.tick(seconds(3_722)), "PING\r\n");
    // Then it falls silent.
    assert_eq!(session.tick(seconds(3_842)), "PING\r\n");
    assert_eq!(session.tick(seconds(3_962)), "-ERR 'Stale Connection'\r\n");
}

#[test]
fn who_types_by_hand_is_left_alone_for_the_first_interval() {
    let seconds = Duration::from_secs;
    let mut session = Session::start(ClientLimits::default());
    assert_eq!(session.tick(seconds(2)), "");
    assert_eq!(session.tick(seconds(122)), "PING\r\n");
}

#[test]
fn a_connection_above_the_maximum_is_told_so() {
    let session = Session::start(ClientLimits::default());
    let mut out = Vec::new();
    let close = session.client.refuse_connection(&mut out);
    assert_eq!(out, b"-ERR 'maximum connections exceeded'\r\n");
    assert_eq!(close.reason, CloseReason::MaximumConnectionsExceeded);
}

/// A session of a client that came through another door, with credentials from elsewhere.
fn introduced(limits: ClientLimits, after: Duration) -> Session {
    let mut session = Session::start(limits);
    let introduction = Introduction {
        entrance: Arc::new(Entrance {
            host: "web".to_owned(),
            port: 443,
        }),
        preset: PresetCredentials {
            user: "ann".to_owned(),
            pass: "s3cret".to_owned().into(),
            token: "t0ken".to_owned().into(),
        },
    };
    session.client.introduce(START.plus(after), introduction);
    session
}

#[test]
fn credentials_from_elsewhere_fill_in_what_connect_leaves_out() {
    #[track_caller]
    fn check(credentials: Credentials, connect: &str, granted: bool) {
        let limits = ClientLimits {
            credentials: Some(credentials),
            ..ClientLimits::default()
        };
        let mut session = introduced(limits, Duration::ZERO);
        session.feed(START, format!("CONNECT {connect}\r\n").as_bytes());
        let expected = match granted {
            true => "+OK\r\n",
            false => "-ERR 'Authorization Violation'\r\n",
        };
        assert_eq!(session.taken(), expected, "{connect}");
    }
    let user = |name: &str, password: &str| Credentials::User {
        name: name.to_owned(),
        password: password.to_owned(),
    };
    let token = || Credentials::Token("t0ken".to_owned());
    check(user("ann", "s3cret"), "{}", true);
    check(user("ann", "other"), "{\"pass\":\"other\"}", true);
    check(user("ann", "s3cret"), "{\"pass\":\"other\"}", false);
    check(user("bob", "s3cret"), "{\"user\":\"bob\"}", true);
    check(token(), "{}", true);
    check(token(), "{\"auth_token\":\"\"}", true);
    check(token(), "{\"auth_token\":\"wrong\"}", false);
}

#[test]
fn an_introduced_client_is_told_where_it_came_in() {
    let session = introduced(ClientLimits::default(), Duration::ZERO);
    let mut out = Vec::new();
    session.client.greeting(&mut out);
    let text = String::from_utf8(out).expect("text");
    assert!(text.contains("\"host\":\"web\",\"port\":443"), "{text}");
}

#[test]
fn times_count_from_the_introduction() {
    let limits = ClientLimits {
        credentials: Some(Credentials::Token("x".to_owned())),
        ..ClientLimits::default()
    };
    let session = introduced(limits, Duration::from_secs(1));
    assert_eq!(
        session.client.next_timer(),
        START.plus(Duration::from_secs(3))
    );
    let session = introduced(ClientLimits::default(), Duration::from_secs(1));
    let first = Session::start(ClientLimits::default()).client.next_timer();
    let later = first.plus(Duration::from_secs(1));
    assert_eq!(session.client.next_timer(), later);
}
