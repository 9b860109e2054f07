//! Frames as the log shows them.

use everjet_wire::{TraceDirection, TraceOptions, trace};
use serde_json::Value;

/// Any bytes are shown as lines, and whatever a password is, it is not among them.
pub fn check_trace(data: &[u8]) {
    let options = TraceOptions {
        payload_max: data.first().map(|byte| usize::from(*byte)),
        headers_only: data.len().is_multiple_of(2),
    };
    for direction in [TraceDirection::In, TraceDirection::Out] {
        trace(data, direction, &options, |line| {
            assert!(!line.contains('\n'), "{line:?}");
        });
    }
    let password = Value::from(String::from_utf8_lossy(data));
    let connect = format!("CONNECT {{\"a\":1,\"pass\":{password},\"b\":2}}\r\n");
    let shown = if password == "" { "" } else { "[REDACTED]" };
    let mut lines = Vec::new();
    trace(connect.as_bytes(), TraceDirection::In, &options, |line| {
        lines.push(line.to_owned());
    });
    assert_eq!(
        lines,
        [format!(
            "<<- [CONNECT {{\"a\":1,\"pass\":\"{shown}\",\"b\":2}}]"
        )]
    );
}
