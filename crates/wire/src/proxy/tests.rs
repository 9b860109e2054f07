use super::*;

fn binary(version_command: u8, family_transport: u8, size: u16, rest: &[u8]) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    bytes.extend([version_command, family_transport]);
    bytes.extend(size.to_be_bytes());
    bytes.extend(rest);
    bytes
}

/// Addresses of version 2: 10.1.2.3:5555 to 10.0.0.1:4222.
const V4: &[u8] = &[10, 1, 2, 3, 10, 0, 0, 1, 0x15, 0xB3, 0x10, 0x7E];

/// Every beginning is incomplete until the answer is known, and then it stays, whatever the client sends behind it.
#[track_caller]
fn check(bytes: &[u8], expected: Result<ProxyHeader, ProxyError>) {
    let mut known = None;
    let followed = [bytes, b"CONNECT {}\r\n\0\xff"].concat();
    for end in 0..=followed.len() {
        let got = decode_proxy_header(&followed[..end]);
        match known {
            None if got == Ok(ProxyHeader::Incomplete) => {}
            None => {
                assert_eq!(got, expected, "after {end} bytes");
                known = Some(end);
            }
            Some(at) => assert_eq!(got, expected, "known after {at} bytes, then after {end}"),
        }
    }
    assert!(known.is_some(), "never known");
}

#[track_caller]
fn present(bytes: &[u8], source: Option<&str>) {
    let source = source.map(|source| source.parse().expect("an address"));
    let size = bytes.len();
    check(bytes, Ok(ProxyHeader::Present { source, size }));
}

#[test]
fn lines_tell_the_source() {
    let v4 = Some("10.1.2.3:5555");
    present(b"PROXY TCP4 10.1.2.3 10.0.0.1 5555 4222\r\n", v4);
    present(b"PROXY  TCP4   10.1.2.3 10.0.0.1 05555 4222 \r\n", v4);
    present(b"PROXY TCP6 ::ffff:10.1.2.3 ::1 5555 4222\r\n", v4);
    present(
        b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n",
        Some("[2001:db8::1]:1"),
    );
    let long = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff0";
    present(
        format!("PROXY TCP6 {long} {long} 65535 65535\r\n").as_bytes(),
        Some(&format!("[{long}]:65535")),
    );
}

#[test]
fn a_proxy_may_speak_for_itself() {
    present(b"PROXY UNKNOWN\r\n", None);
    present(b"PROXY UNKNOWN whatever it says 1 2 3\r\n", None);
    present(&binary(0x20, 0x00, 0, b""), None);
    present(&binary(0x20, 0x11, 12, V4), None);
    present(&binary(0x21, 0x01, 0, b""), None);
}

#[test]
fn broken_lines_are_refused() {
    fn refused(line: &str, error: ProxyError) {
        check(line.as_bytes(), Err(error));
    }
    refused(
        "PROXY TCP4 10.1.2.3 10.0.0.1 5555\r\n",
        ProxyError::LineFormat,
    );
    refused(
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
        ProxyError::LineFormat,
    );
    refused("PROXY \r\n", ProxyError::LineFormat);
    refused("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", ProxyError::LineFormat);
    refused(
        "PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
        ProxyError::LineTransport,
    );
    refused(
        "PROXY unknown 1.2.3.4 1.2.3.4 1 2\r\n",
        ProxyError::LineTransport,
    );
    refused("PROXY TCP4 ::1 ::1 1 2\r\n", ProxyError::Address);
    refused("PROXY TCP6 1.2.3.4 ::1 1 2\r\n", ProxyError::Address);
    refused("PROXY TCP4 1.2.3.4 nobody 1 2\r\n", ProxyError::Address);
    refused("PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n", ProxyError::Address);
    refused("PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n", ProxyError::Port);
    refused("PROXY TCP4 1.2.3.4 1.2.3.4 1 -2\r\n", ProxyError::Port);
    let endless = format!("PROXY TCP4 {}", "1".repeat(200));
    refused(&endless, ProxyError::LineTooLong);
    check(b"PROXY UNKNOWN \xff\r\n", Err(ProxyError::LineFormat));
}

#[test]
fn binary_headers_tell_the_source() {
    present(&binary(0x21, 0x11, 12, V4), Some("10.1.2.3:5555"));
    let mut v6 = [0; 36];
    v6[15] = 7;
    v6[32..34].copy_from_slice(&[0x10, 0x7E]);
    present(&binary(0x21, 0x21, 36, &v6), Some("[::7]:4222"));
    v6[10..16].copy_from_slice(&[255, 255, 10, 1, 2, 3]);
    present(&binary(0x21, 0x21, 36, &v6), Some("10.1.2.3:4222"));
}

#[test]
fn extensions_count_and_need_not_have_come() {
    let source = Some("10.1.2.3:5555".parse().expect("an address"));
    let with_extensions = [V4, b"\x01\x00\x04abcd"].concat();
    present(
        &binary(0x21, 0x11, 12 + 7, &with_extensions),
        Some("10.1.2.3:5555"),
    );
    let size = 16 + 65_535;
    check(
        &binary(0x21, 0x11, 65_535, V4),
        Ok(ProxyHeader::Present { source, size }),
    );
    check(
        &binary(0x20, 0x00, 65_535, b""),
        Ok(ProxyHeader::Present { source: None, size }),
    );
}

#[test]
fn broken_binary_headers_are_refused() {
    check(&binary(0x11, 0x11, 12, V4), Err(ProxyError::Version(0x10)));
    check(&binary(0x22, 0x11, 12, V4), Err(ProxyError::Command(2)));
    check(&binary(0x21, 0x12, 12, V4), Err(ProxyError::Transport));
    check(&binary(0x21, 0x00, 0, b""), Err(ProxyError::Transport));
    check(&binary(0x21, 0x31, 216, V4), Err(ProxyError::Family(0x30)));
    check(
        &binary(0x21, 0x11, 11, V4),
        Err(ProxyError::AddressSize(11)),
    );
    check(
        &binary(0x21, 0x21, 35, V4),
        Err(ProxyError::AddressSize(35)),
    );
    check(b"\r\n\r\n\0\rx", Err(ProxyError::Signature));
    check(b"\r\n\r\n\0\r\nQUIT\r", Err(ProxyError::Signature));
}

#[test]
fn what_begins_differently_is_the_clients() {
    for bytes in [
        &b"PING\r\n"[..],
        b"PUB a 0\r\n\r\n",
        b"CONNECT {}\r\n",
        b"\x16\x03\x01",
        b"\r\n\r\n\r\n",
        b"PROXYX",
        b"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
    ] {
        check(bytes, Ok(ProxyHeader::Absent));
    }
}

#[test]
fn whatever_comes_the_bytes_to_look_at_are_enough() {
    const LETTERS: &[u8] = b"\r\n PROXYTCP46UNKNOWN0123456789.:\0QUIT!\x20\x21\x11";
    let mut state = 7u64;
    for _ in 0..20_000 {
        let mut bytes = [0; PROXY_HEADER_PEEK];
        for byte in &mut bytes {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            *byte = LETTERS[(state >> 33) as usize % LETTERS.len()];
        }
        let start: &[u8] = if state >> 63 == 0 {
            LINE_START
        } else {
            SIGNATURE
        };
        bytes[..start.len()].copy_from_slice(start);
        assert_ne!(decode_proxy_header(&bytes), Ok(ProxyHeader::Incomplete));
    }
}
