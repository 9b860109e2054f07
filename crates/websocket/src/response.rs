//! What the server answers to the upgrade request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// What is appended to the client's key (RFC 6455, section 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Proves that the server understood: the hash of the client's key.
pub(crate) fn accept_key(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(GUID);
    STANDARD.encode(hash.finalize())
}

/// Appends the answer that ends HTTP on the connection.
pub(crate) fn put_switching(
    wire: &mut Vec<u8>,
    key: &str,
    compression: bool,
    headers: &[(String, String)],
) {
    put(
        wire,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
    );
    put(wire, "Sec-WebSocket-Accept: ");
    put(wire, &accept_key(key));
    put(wire, "\r\n");
    if compression {
        put(
            wire,
            "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n",
        );
    }
    for (name, value) in headers {
        for part in [name, ": ", value, "\r\n"] {
            put(wire, part);
        }
    }
    put(wire, "\r\n");
}

/// Appends an answer with an error, after which the server closes the connection.
pub(crate) fn put_error(wire: &mut Vec<u8>, status: &str, body: &str) {
    put(wire, "HTTP/1.1 ");
    put(wire, status);
    put(
        wire,
        "\r\nContent-Type: text/plain; charset=utf-8\r\nSec-WebSocket-Version: 13\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\nContent-Length: ",
    );
    put(wire, &body.len().to_string());
    put(wire, "\r\n\r\n");
    put(wire, body);
}

fn put(wire: &mut Vec<u8>, text: &str) {
    wire.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard() {
        let accept = accept_key("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
