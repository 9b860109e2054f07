//! The `INFO` line.

use serde::Serialize;

/// What a server tells a client about itself and the connection, once in greeting and again when something changes.
///
/// Keys, their order and which are left out follow nats-server 2.15.1: an empty text, zero, false or empty list is left
/// out unless the field says otherwise. Keys that only routes, gateways and leaf nodes use are not here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ServerInfo {
    /// Public nkey of the server, 56 characters starting with `N`; always written.
    pub server_id: String,
    /// Configured name, or the id; always written.
    pub server_name: String,
    /// Version of nats-server this server is compatible with; clients switch features on it. Always written.
    pub version: String,
    /// Protocol version, 1; always written.
    pub proto: u32,
    /// Commit the server was built from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub git_commit: String,
    /// Version of the language runtime; always written, though it may be empty.
    pub go: String,
    /// Address the server listens on for clients; always written.
    pub host: String,
    /// Port the server listens on for clients; always written.
    pub port: u16,
    /// Whether messages may have headers; always written.
    pub headers: bool,
    /// Whether credentials are needed; false with a user for those who send none.
    #[serde(skip_serializing_if = "is_false")]
    pub auth_required: bool,
    /// Whether the client has to start TLS now.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_required: bool,
    /// Whether the client has to show a certificate.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_verify: bool,
    /// Whether the client may start TLS now.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_available: bool,
    /// Largest headers and payload together, in bytes; always written.
    pub max_payload: usize,
    /// Whether JetStream is enabled on this server.
    #[serde(skip_serializing_if = "is_false")]
    pub jetstream: bool,
    /// Address of the server as the connection has it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ip: String,
    /// Number of the connection on this server, from 1.
    #[serde(skip_serializing_if = "is_zero")]
    pub client_id: u64,
    /// Address of the client.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_ip: String,
    /// What the client signs to prove its nkey.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub nonce: String,
    /// Name of the cluster.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    /// Whether the cluster's name was made up.
    #[serde(skip_serializing_if = "is_false")]
    pub cluster_dynamic: bool,
    /// JetStream domain.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// `host:port` of this cluster's servers for reconnecting.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connect_urls: Vec<String>,
    /// The same for clients that use WebSocket.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ws_connect_urls: Vec<String>,
    /// Whether this server is about to close its connections (lame duck mode).
    #[serde(skip_serializing_if = "is_false")]
    pub ldm: bool,
    /// Whether this line tells an authenticated client about its connection.
    #[serde(skip_serializing_if = "is_false")]
    pub connect_info: bool,
    /// The account of the connection.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remote_account: String,
    /// Whether that is the system account.
    #[serde(skip_serializing_if = "is_false")]
    pub acc_is_sys: bool,
    /// Level of the JetStream API.
    #[serde(skip_serializing_if = "is_zero_level")]
    pub api_lvl: u32,
    /// Public curve key of the server, for auth callout.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub xkey: String,
}

impl ServerInfo {
    /// The whole line: `INFO {…} ` and CRLF, with the blank that nats-server writes before it.
    #[must_use]
    pub fn render(&self) -> Vec<u8> {
        let mut line = Vec::with_capacity(512);
        line.extend_from_slice(b"INFO ");
        serde_json::to_writer(&mut line, self)
            .expect("texts, numbers and lists of texts are JSON, and a vector takes all bytes");
        line.extend_from_slice(b" \r\n");
        line
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(value: &bool) -> bool {
    !*value
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

fn is_zero_level(value: &u32) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(info: &ServerInfo, expected: &str) {
        assert_eq!(String::from_utf8_lossy(&info.render()), expected);
    }

    #[test]
    fn what_is_empty_is_left_out() {
        check(
            &ServerInfo::default(),
            "INFO {\"server_id\":\"\",\"server_name\":\"\",\"version\":\"\",\"proto\":0,\"go\":\"\",\
             \"host\":\"\",\"port\":0,\"headers\":false,\"max_payload\":0} \r\n",
        );
    }

    /// The second `INFO` of nats-server 2.15.1 to a client that sent `protocol: 1`, with the id shortened.
    #[test]
    fn the_line_after_the_first_pong_is_that_of_nats_server() {
        let info = ServerInfo {
            server_id: "NCZY3A4P".into(),
            server_name: "NCZY3A4P".into(),
            version: "2.15.1".into(),
            proto: 1,
            git_commit: "b2fd3ef".into(),
            go: "go1.27.2".into(),
            host: "127.0.0.1".into(),
            port: 29524,
            headers: true,
            max_payload: 1 << 20,
            client_id: 5,
            client_ip: "127.0.0.1".into(),
            connect_info: true,
            remote_account: "$G".into(),
            api_lvl: 5,
            xkey: "XBE74DYD".into(),
            ..ServerInfo::default()
        };
        check(
            &info,
            "INFO {\"server_id\":\"NCZY3A4P\",\"server_name\":\"NCZY3A4P\",\"version\":\"2.15.1\",\"proto\":1,\
             \"git_commit\":\"b2fd3ef\",\"go\":\"go1.27.2\",\"host\":\"127.0.0.1\",\"port\":29524,\
             \"headers\":true,\"max_payload\":1048576,\"client_id\":5,\"client_ip\":\"127.0.0.1\",\
             \"connect_info\":true,\"remote_account\":\"$G\",\"api_lvl\":5,\"xkey\":\"XBE74DYD\"} \r\n",
        );
    }

    #[test]
    fn every_field_has_its_place() {
        let text = |value: &str| value.to_owned();
        let info = ServerInfo {
            server_id: text("N"),
            server_name: text("n"),
            version: text("2.15.1"),
            proto: 1,
            git_commit: text("c"),
            go: text("g"),
            host: text("::"),
            port: 65535,
            headers: true,
            auth_required: true,
            tls_required: true,
            tls_verify: true,
            tls_available: true,
            max_payload: 1,
            jetstream: true,
            ip: text("10.0.0.1"),
            client_id: u64::MAX,
            client_ip: text("10.0.0.2"),
            nonce: text("o"),
            cluster: text("\"C\""),
            cluster_dynamic: true,
            domain: text("d"),
            connect_urls: vec![text("a:1"), text("b:2")],
            ws_connect_urls: vec![text("w:3")],
            ldm: true,
            connect_info: true,
            remote_account: text("A"),
            acc_is_sys: true,
            api_lvl: 5,
            xkey: text("X"),
        };
        check(
            &info,
            "INFO {\"server_id\":\"N\",\"server_name\":\"n\",\"version\":\"2.15.1\",\"proto\":1,\"git_commit\":\"c\",\
             \"go\":\"g\",\"host\":\"::\",\"port\":65535,\"headers\":true,\"auth_required\":true,\
             \"tls_required\":true,\"tls_verify\":true,\"tls_available\":true,\"max_payload\":1,\
             \"jetstream\":true,\"ip\":\"10.0.0.1\",\"client_id\":18446744073709551615,\
             \"client_ip\":\"10.0.0.2\",\"nonce\":\"o\",\"cluster\":\"\\\"C\\\"\",\"cluster_dynamic\":true,\
             \"domain\":\"d\",\"connect_urls\":[\"a:1\",\"b:2\"],\"ws_connect_urls\":[\"w:3\"],\"ldm\":true,\
             \"connect_info\":true,\"remote_account\":\"A\",\"acc_is_sys\":true,\"api_lvl\":5,\
             \"xkey\":\"X\"} \r\n",
        );
    }
}
