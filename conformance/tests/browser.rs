//! The official JavaScript client over WebSocket, in Chromium and in Node.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use std::{fs, thread};

use everjet_conformance::{Pki, ServerProcess, executable};

const TOKEN: &str = "web-s3cret";

/// Longer than a browser takes to start on a busy machine, run the story and end.
const PATIENCE: Duration = Duration::from_secs(120);

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/websocket")
}

#[track_caller]
fn packages() -> PathBuf {
    let folder = executable::clients();
    let package = folder.join("node_modules/@nats-io/nats-core");
    assert!(
        package.is_dir(),
        "no {}: `cargo xtask clients` installs it (.ci/run calls that)",
        package.display()
    );
    folder
}

/// A server for WebSocket clients that have the token; `block` adds to its block.
#[track_caller]
fn start(block: &str) -> (ServerProcess, String) {
    let server = ServerProcess::start(&format!(
        "authorization {{ token: \"{TOKEN}\" }}\n\
         websocket {{ host: 127.0.0.1, port: -1, no_tls: true, token_cookie: token, {block} }}\n"
    ));
    let scheme = match server.log().contains("websocket clients on wss://") {
        true => "wss",
        false => "ws",
    };
    let url = format!("{scheme}://127.0.0.1:{}", server.websocket_port());
    (server, url)
}

/// The lines of a block with a certificate for this machine.
fn tls(pki: &Pki) -> String {
    format!("tls {{ {} }}", pki.server("server").lines())
}

#[test]
fn node_nats_core_runs_over_websocket() {
    let pki = Pki::default();
    let over_tls = format!("compression: true, {}", tls(&pki));
    for (block, compression) in [
        ("compression: false", false),
        ("compression: true", true),
        (&over_tls, true),
    ] {
        let (_server, url) = start(block);
        assert_eq!(url.starts_with("wss:"), block.contains("tls"), "{url}");
        let output = Command::new("node")
            .env("NODE_EXTRA_CA_CERTS", pki.ca_file())
            // Before Node 22 its WebSocket had to be asked for.
            .args(["--experimental-websocket", "--no-warnings"])
            .arg(scripts().join("node.mjs"))
            .arg(packages())
            .args([&url, TOKEN, &compression.to_string()])
            .output()
            .expect("node starts");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.ends_with("done\n"),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn chromium_nats_core_runs_in_a_page() {
    let site = Site::start(packages());
    let allowed = format!("allowed_origins: \"http://127.0.0.1:{}\"", site.port);
    let (_compressing, compressing) = start(&format!("compression: true, {allowed}"));
    let (_plain, plain) = start(&allowed);
    let pki = Pki::default();
    let (_secured, secured) = start(&format!("compression: true, {}", tls(&pki)));
    let (_stranger, stranger) = start("same_origin: true");
    site.plan(&serde_json::json!({
        "token": TOKEN,
        "servers": [
            { "url": compressing, "welcome": true, "compressed": true },
            { "url": plain, "welcome": true, "compressed": false },
            // Cookies of a page without TLS do not go there.
            { "url": secured, "welcome": true, "compressed": true, "options": { "token": TOKEN } },
            { "url": stranger, "welcome": false },
        ],
    }));
    let page = browse(&format!("http://127.0.0.1:{}/", site.port));
    assert!(page.contains(">all is well<"), "{page}");
}

/// Opens a page in a browser of its own; returns the page as it is when it has loaded.
#[track_caller]
fn browse(url: &str) -> String {
    let profile = tempfile::tempdir().expect("a temporary directory can be made");
    let mut browser = Command::new("chromium")
        .args([
            "--headless",
            // There is no sandbox for root, and the page is ours.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-extensions",
            // The authority of the certificates is the test's own.
            "--ignore-certificate-errors",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("chromium starts; it is the package `chromium` of Debian");
    let mut stdout = browser.stdout.take().expect("stdout is piped");
    let reader = thread::spawn(move || {
        let mut page = String::new();
        stdout.read_to_string(&mut page).map(|_| page)
    });
    end(&mut browser);
    let page = reader.join().expect("the reader does not panic");
    page.expect("the page is text")
}

/// Waits for the end of the browser; one that does not end is killed.
#[track_caller]
fn end(browser: &mut Child) {
    let deadline = Instant::now() + PATIENCE;
    while browser.try_wait().expect("our own child").is_none() {
        if Instant::now() > deadline {
            let _ = browser.kill();
            let _ = browser.wait();
            panic!("the browser did not end in {PATIENCE:?}");
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// The web server that the page comes from.
struct Site {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    /// Has `node_modules`.
    packages: PathBuf,
    plan: Mutex<String>,
    finished: Mutex<bool>,
    told: Condvar,
}

impl Site {
    fn start(packages: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let port = listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared {
            packages,
            plan: Mutex::default(),
            finished: Mutex::default(),
            told: Condvar::new(),
        });
        let serving = shared.clone();
        // It ends with the process of the test.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = serving.clone();
                thread::spawn(move || shared.answer(&stream));
            }
        });
        Self { port, shared }
    }

    fn plan(&self, plan: &serde_json::Value) {
        *self.shared.plan.lock().expect("no panic while held") = plan.to_string();
    }
}

impl Shared {
    /// Answers one request. A browser that goes away does not matter.
    fn answer(&self, mut stream: &TcpStream) -> Option<()> {
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        let request = lines.next()?;
        let path = request.split(' ').nth(1)?.to_owned();
        lines.find(String::is_empty)?;
        let body = match path.as_str() {
            "/plan.json" => Some(self.plan.lock().ok()?.clone().into_bytes()),
            "/finished" => {
                *self.finished.lock().ok()? = true;
                self.told.notify_all();
                Some(Vec::new())
            }
            "/held" => {
                let finished = self.finished.lock().ok()?;
                let wait = self
                    .told
                    .wait_timeout_while(finished, PATIENCE, |done| !*done);
                drop(wait.ok()?);
                Some(Vec::new())
            }
            "/" => fs::read(scripts().join("page.html")).ok(),
            path => self.file(path),
        };
        let (status, body) = match body {
            Some(body) => ("200 OK", body),
            None => ("404 Not Found", Vec::new()),
        };
        let kind = match Path::new(&path).extension().and_then(|end| end.to_str()) {
            Some("mjs" | "js") => "text/javascript",
            Some("json") => "application/json",
            _ => "text/html",
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(&body).ok()
    }

    /// A script of ours, or a file of a package.
    fn file(&self, path: &str) -> Option<Vec<u8>> {
        let path = Path::new(path.strip_prefix('/')?);
        let inside = path
            .components()
            .all(|component| matches!(component, Component::Normal(_)));
        let folder = match path.starts_with("node_modules") {
            true => self.packages.clone(),
            false => scripts(),
        };
        inside.then(|| fs::read(folder.join(path)).ok())?
    }
}
