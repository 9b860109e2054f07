//! Header blocks.

use everjet_wire::{HeaderBuilder, Headers, strip};

/// Any block is read without harm, what is read can be found again, what is stripped is gone and the rest is there; and
/// what is put into a block is all that comes out of it, whatever it holds.
pub fn check_headers(data: &[u8]) {
    check_block(data);
    check_stripping(data);
    check_building(data);
}

fn check_block(block: &[u8]) {
    let headers = Headers(block);
    if let Some((code, description)) = headers.status() {
        assert!(code <= 999);
        assert!(!description.starts_with(' '));
    }
    for (name, value) in headers.iter() {
        assert!(!name.is_empty() && !name.contains(&b':'));
        assert_ne!(value.first(), Some(&b' '));
        if let Ok(name) = str::from_utf8(name) {
            let first = headers.iter().find(|(other, _)| *other == name.as_bytes());
            assert_eq!(headers.get(name), first.map(|(_, value)| value));
        }
    }
}

fn check_stripping(block: &[u8]) {
    let names = ["A", "Nats-Msg-Id"];
    let kept = strip(block, &names);
    assert!(kept.len() <= block.len());
    let is_named = |name: &[u8]| names.iter().any(|other| other.as_bytes() == name);
    let others: Vec<_> = Headers(block)
        .iter()
        .filter(|(name, _)| !is_named(name))
        .collect();
    assert_eq!(Headers(&kept).iter().collect::<Vec<_>>(), others);
    assert!(kept.is_empty() || Headers(&kept).status() == Headers(block).status());
}

/// The pieces between LFs in turn are names and values, the first a status text.
fn check_building(data: &[u8]) {
    let texts: Vec<String> = data
        .split(|byte| *byte == 0)
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .collect();
    let mut builder = HeaderBuilder::with_status(408, &texts[0]);
    let mut expected = Vec::new();
    for pair in texts[1..].chunks_exact(2) {
        builder.push(&pair[0], &pair[1]);
        let one_line = |text: &str| text.replace(['\r', '\n'], " ");
        let (name, value) = (one_line(&pair[0]), one_line(&pair[1]));
        // A colon in a name makes the name end there.
        let line = format!("{name}: {value}");
        if let Some((name, value)) = line.split_once(':').filter(|(name, _)| !name.is_empty()) {
            expected.push((name.to_owned(), value.trim_start_matches(' ').to_owned()));
        }
    }
    let block = builder.finish();
    assert!(block.ends_with(b"\r\n\r\n"));
    let read: Vec<(String, String)> = Headers(&block)
        .iter()
        .map(|(name, value)| (text(name), text(value)))
        .collect();
    assert_eq!(read, expected);
    assert_eq!(Headers(&block).status().map(|(code, _)| code), Some(408));
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("only texts were put in")
}
