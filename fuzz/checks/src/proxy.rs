//! The header of a proxy in front of a client's bytes.

use everjet_wire::{PROXY_HEADER_PEEK, ProxyHeader, decode_proxy_header};

/// What is known of a beginning stays, whatever follows; it is known after a bounded number of bytes; and a size is one that a header can
/// have.
pub fn check_proxy(data: &[u8]) {
    let mut known = None;
    for end in 0..=data.len() {
        let got = decode_proxy_header(&data[..end]);
        match &known {
            None if got == Ok(ProxyHeader::Incomplete) => assert!(end < PROXY_HEADER_PEEK),
            None => known = Some(got),
            Some(known) => assert_eq!(got, *known, "after {end} bytes"),
        }
        if let Ok(ProxyHeader::Present { source, size }) = got {
            // The shortest are `PROXY UNKNOWN` with its line end and version 2 without addresses.
            assert!((15..=16 + 65_535).contains(&size), "{size}");
            let ip = source.map(|source| source.ip());
            assert_eq!(ip, ip.map(|ip| ip.to_canonical()));
        }
    }
}
