//! A server inside another program: start it, use it, stop it.
//!
//! `cargo run -p everjet-server --example embedded`

use std::io::{BufRead, BufReader, Write};

use everjet_server::Server;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = tempfile::tempdir()?;
    let server = Server::builder()
        .host("127.0.0.1")
        .port(0)
        .jetstream(store.path())
        .start()?;
    println!("connect to {}", server.client_url());

    // Any NATS client will do. This one is spoken by hand, over a connection that never leaves the process.
    let mut connection = server.connect_in_process()?;
    connection
        .write_all(b"CONNECT {\"verbose\":false}\r\nSUB greet 1\r\nPUB greet 5\r\nhello\r\n")?;
    for line in BufReader::new(connection).lines().take(3) {
        println!("{}", line?);
    }

    server.stop();
    Ok(())
}
