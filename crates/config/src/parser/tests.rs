use std::collections::HashMap;

use super::*;

/// Files and variables of a test.
#[derive(Default)]
struct World(HashMap<&'static str, &'static str>);

impl Sources for World {
    fn read(&mut self, path: &str) -> Result<String, String> {
        self.0
            .get(path)
            .map(|text| (*text).to_owned())
            .ok_or_else(|| format!("open {path}: no such file or directory"))
    }

    fn variable(&mut self, name: &str) -> Option<String> {
        self.0
            .get(format!("${name}").as_str())
            .map(|text| (*text).to_owned())
    }
}

fn world() -> World {
    World(HashMap::from([
        ("conf/inc.conf", "max_payload: 1MB\nport: 5000"),
        ("conf/vars.conf", "P = 4333"),
        ("conf/deep/a.conf", "include b.conf"),
        ("conf/deep/b.conf", "b: 1"),
        ("conf/self.conf", "include self.conf"),
        ("conf/bad.conf", "\n  foo 1 2"),
        ("$PORT", "4555"),
        ("$BLOCK", " {store_dir: \"/x\"} "),
        ("$WORD", "word"),
        ("$CYCLE", "$CYCLE"),
        ("$EMPTY", ""),
        ("$TWO", "a b"),
        ("$LIST", "[1, $PORT]"),
    ]))
}

/// Writes a table as JSON-like text, to compare.
fn show(table: &Table) -> String {
    let entries: Vec<String> = table
        .entries()
        .iter()
        .map(|entry| format!("{}={}", entry.key, show_kind(&entry.value.kind)))
        .collect();
    entries.join(" ")
}

fn show_kind(kind: &Kind) -> String {
    match kind {
        Kind::Bool(value) => value.to_string(),
        Kind::Integer(value) => value.to_string(),
        Kind::Float(value) => format!("{value:?}"),
        Kind::Text(text) => format!("{text:?}"),
        Kind::Date(time) => format!("<{time}>"),
        Kind::List(items) => {
            let items: Vec<String> = items.iter().map(|item| show_kind(&item.kind)).collect();
            format!("[{}]", items.join(" "))
        }
        Kind::Table(table) => format!("{{{}}}", show(table)),
    }
}

fn check(text: &str, expected: &str) {
    match parse(text, "conf/main.conf", &mut world()) {
        Ok(table) => assert_eq!(show(&table), expected, "{text}"),
        Err(error) => panic!("{text}: {error}"),
    }
}

fn refused(text: &str, expected: &str) {
    match parse(text, "conf/main.conf", &mut world()) {
        Ok(table) => panic!("{text}: {}", show(&table)),
        Err(error) => assert_eq!(error.to_string(), expected, "{text}"),
    }
}

#[test]
fn keys_and_values_are_separated_in_four_ways() {
    for text in [
        "port: 4222",
        "port = 4222",
        "port 4222",
        "port:4222",
        "port=4222",
        "  port\t:\t4222  ",
        "\"port\": 4222",
        "'port': 4222",
        "{port: 4222}",
        " # first\n{ \"port\": 4222 }\n// last",
        "port: 4222,",
        "port: 4222;",
        "\u{feff}port: 4222",
        "port: 4222\r\n",
    ] {
        check(text, "port=4222");
    }
}

#[test]
fn entries_end_with_the_line_a_comma_or_a_semicolon() {
    check("a=1, b=2; c=3\nd=4", "a=1 b=2 c=3 d=4");
    check("{a: 1, b: 2}", "a=1 b=2");
    check(
        "x { a 1, b 2 }\ny {\n a 1\n b 2\n}",
        "x={a=1 b=2} y={a=1 b=2}",
    );
}

#[test]
fn comments_may_stand_anywhere_between_entries() {
    check(
        "# one\n// two\nport: 4222 # three\nhost: a // four\nx [\n# five\n1 # six\n// seven\n2\n]",
        "port=4222 host=\"a\" x=[1 2]",
    );
    check(
        "jetstream: {\n  # where\n  store_dir: \"/data\" // there\n  // nothing more\n}\n",
        "jetstream={store_dir=\"/data\"}",
    );
    // They are no comments inside words.
    check("a: x#y\nb: http://z", "a=\"x#y\" b=\"http://z\"");
}

#[test]
fn texts_come_with_and_without_quotes() {
    check("a: word", "a=\"word\"");
    check("a: 'raw \\t \"'", "a=\"raw \\\\t \\\"\"");
    check(
        r#"a: "t\tn\nr\rq\"b\\x\x41""#,
        "a=\"t\\tn\\nr\\rq\\\"b\\\\xA\"",
    );
    check("a: \"two\nlines\"", "a=\"two\\nlines\"");
    check(r"a: tab\there", "a=\"tab\\there\"");
    check("a: \"\"", "a=\"\"");
    check("a: caf\u{e9}", "a=\"caf\u{e9}\"");
    check("a: \"$PORT\"", "a=\"$PORT\"");
    check("a: x$PORT", "a=\"x$PORT\"");
    check("a: 127.0.0.1:4222", "a=\"127.0.0.1:4222\"");
    check("a: x=y", "a=\"x=y\"");
    check("a: [x,y]", "a=[\"x\" \"y\"]");
    check(
        "a: (\n one\n (two)\n)\nb: 1",
        "a=\"\\n one\\n (two)\\n\" b=1",
    );
    check("pass: $2a$11$W2zko751", "pass=\"$2a$11$W2zko751\"");
}

#[test]
fn other_values_are_numbers_booleans_dates_lists_and_blocks() {
    check("a: 1k, b: 1KB, c: -2, d: 1.5", "a=1000 b=1024 c=-2 d=1.5");
    check("a: yes, b: OFF", "a=true b=false");
    check("a: 2016-05-04T18:53:41Z", "a=<2016-05-04T18:53:41Z>");
    check("a: [1, [2, 3], {b: 4},\n5\n6,]", "a=[1 [2 3] {b=4} 5 6]");
    check("a: []\nb: {}", "a=[] b={}");
    check("a\n{\n b: 1\n}", "a={b=1}");
    check("a{b:1}", "a={b=1}");
}

#[test]
fn the_last_of_equal_keys_counts() {
    check("port: 1\nhost: a\nport: 2", "host=\"a\" port=2");
    check("a { x 1 }\na { y 2 }", "a={y=2}");
}

#[test]
fn variables_are_found_in_the_blocks_around_then_in_the_environment() {
    check("P = 1\nport: $P", "P=1 port=1");
    check("P = 1\na { port: $P }", "P=1 a={port=1}");
    check(
        "P = 1\na { P = 2\n port: $P }\nb: $P",
        "P=1 a={P=2 port=2} b=1",
    );
    check("P = 1\na { b [ { c: $P } ] }", "P=1 a={b=[{c=1}]}");
    check("P = [1, {x: 2}]\na: $P", "P=[1 {x=2}] a=[1 {x=2}]");
    check("port: $PORT", "port=4555");
    check("PORT = 1\nport: $PORT", "PORT=1 port=1");
    check("jetstream: $BLOCK", "jetstream={store_dir=\"/x\"}");
    check("a: $LIST", "a=[1 4555]");
    check("P: word\na: $P, b: 1", "P=\"word\" a=\"word\" b=1");
    refused(
        "port: $NOPE",
        "conf/main.conf:1:7: variable reference for 'NOPE' on line 1 can not be found",
    );
    refused(
        "\nport: $A\nA = 1",
        "conf/main.conf:2:7: variable reference for 'A' on line 2 can not be found",
    );
    refused(
        "a { X = 5 }\nport: $X",
        "conf/main.conf:2:7: variable reference for 'X' on line 2 can not be found",
    );
    refused(
        "A = $A",
        "conf/main.conf:1:5: variable reference for 'A' on line 1 can not be found",
    );
    refused(
        "a: $CYCLE",
        "conf/main.conf:1:4: variable reference for 'CYCLE' could not be parsed: variable reference cycle for 'CYCLE'",
    );
    refused(
        "a: $EMPTY",
        "conf/main.conf:1:4: variable reference for 'EMPTY' could not be parsed: it has no value",
    );
    refused(
        "a: $TWO",
        "conf/main.conf:1:4: variable reference for 'TWO' could not be parsed: expected the end of the value, found 'b'",
    );
}

#[test]
fn a_key_that_served_as_variable_is_marked() {
    let table = parse("P = 1\nQ = 2\nport: $P", "f", &mut world()).expect("it is right");
    let marks: Vec<(&str, bool)> = table
        .entries()
        .iter()
        .map(|entry| (entry.key.as_str(), entry.is_variable))
        .collect();
    assert_eq!(marks, [("P", true), ("Q", false), ("port", false)]);
}

#[test]
fn includes_are_relative_to_the_file_they_stand_in() {
    for text in [
        "include inc.conf",
        "include \"inc.conf\"",
        "include './inc.conf'",
    ] {
        let mut world = world();
        world
            .0
            .insert("conf/./inc.conf", "max_payload: 1MB\nport: 5000");
        let table = parse(text, "conf/main.conf", &mut world).expect(text);
        assert_eq!(show(&table), "max_payload=1048576 port=5000", "{text}");
    }
    check(
        "port: 1\ninclude inc.conf\nhost: a",
        "max_payload=1048576 port=5000 host=\"a\"",
    );
    check(
        "a { include inc.conf, b: 2 }",
        "a={max_payload=1048576 port=5000 b=2}",
    );
    check("include vars.conf\nport: $P", "P=4333 port=4333");
    check("include deep/a.conf", "b=1");
    check("include: x", "include=\"x\"");
    refused(
        "\ninclude nope.conf",
        "conf/main.conf:2:1: error parsing include file 'nope.conf', open conf/nope.conf: no such file or directory",
    );
    refused(
        "include bad.conf",
        "conf/bad.conf:2:9: expected a new line or ',' after the value, found '2'",
    );
    refused(
        "include self.conf",
        "conf/self.conf:1:1: error parsing include file 'self.conf', it includes itself",
    );
    refused(
        "include",
        "conf/main.conf:1:1: include needs the name of a file",
    );
}

#[test]
fn positions_of_included_entries_name_their_file() {
    let table = parse("include inc.conf", "conf/main.conf", &mut world()).expect("it is right");
    let places: Vec<String> = table
        .entries()
        .iter()
        .map(|entry| entry.position.to_string())
        .collect();
    assert_eq!(places, ["conf/inc.conf:1:1", "conf/inc.conf:2:1"]);
}

#[test]
fn a_file_without_values_is_an_empty_table() {
    for text in ["", "# nothing\n", "{}"] {
        let table = parse(text, "conf/main.conf", &mut world()).expect("it is right");
        assert!(table.is_empty(), "{text}");
    }
}

#[test]
fn each_mistake_is_told_with_its_place() {
    for (text, expected) in [
        ("port", "conf/main.conf:1:1: key \"port\" has no value"),
        (
            "\n port:\n 4222",
            "conf/main.conf:2:2: key \"port\" has no value",
        ),
        (
            "port: # 4222",
            "conf/main.conf:1:1: key \"port\" has no value",
        ),
        ("port: ,", "conf/main.conf:1:1: key \"port\" has no value"),
        ("a { b }", "conf/main.conf:1:5: key \"b\" has no value"),
        (
            "port: 1 2",
            "conf/main.conf:1:9: expected a new line or ',' after the value, found '2'",
        ),
        (
            "a { b 1 c 2 }",
            "conf/main.conf:1:9: expected a new line or ',' after the value, found 'c'",
        ),
        (
            "port: 1}",
            "conf/main.conf:1:8: expected a new line or ',' after the value, found '}'",
        ),
        (
            "port: 1\n}",
            "conf/main.conf:2:1: expected a key, found '}'",
        ),
        ("port: 1;;", "conf/main.conf:1:9: expected a key, found ';'"),
        (",port: 1", "conf/main.conf:1:1: expected a key, found ','"),
        ("[1]", "conf/main.conf:1:1: expected a key, found '['"),
        ("= 1", "conf/main.conf:1:1: expected a key, found '='"),
        (
            "{a: 1} b",
            "conf/main.conf:1:8: expected the end of the file, found 'b'",
        ),
        (
            "a {\n b: 1",
            "conf/main.conf:2:6: expected a key or '}', found the end of the file",
        ),
        (
            "a: [1,,2]",
            "conf/main.conf:1:7: expected a value or ']', found ','",
        ),
        (
            "a: [1 2]",
            "conf/main.conf:1:7: expected a new line or ',' after the value, found '2'",
        ),
        (
            "a: [1, 2",
            "conf/main.conf:1:9: expected a value or ']', found the end of the file",
        ),
        ("a: \"x", "conf/main.conf:1:4: the quote is not closed"),
        ("a: 'x", "conf/main.conf:1:4: the quote is not closed"),
        ("\"a: 1\n", "conf/main.conf:1:1: the quote is not closed"),
        (
            "a: (\nb\n",
            "conf/main.conf:1:4: the block is not closed; its ')' stands alone on a line",
        ),
        (
            r#"a: "\q""#,
            r#"conf/main.conf:1:4: invalid escape '\q'; allowed are \xHH, \t, \n, \r, \" and \\"#,
        ),
        (
            r#"a: "\x4""#,
            r"conf/main.conf:1:4: expected two hexadecimal digits after '\x'",
        ),
        (r"a: x\", r"conf/main.conf:1:4: a '\' stands at the end"),
        (
            r#"a: "\xff""#,
            "conf/main.conf:1:4: the escapes do not make UTF-8 text",
        ),
        (
            "a: 99999999999999999999",
            "conf/main.conf:1:4: number 99999999999999999999 is out of range",
        ),
    ] {
        refused(text, expected);
    }
}

#[test]
fn nesting_has_a_bound() {
    for open in ["a {", "a: ["] {
        let text = if open.ends_with('{') {
            "a {".repeat(10_000)
        } else {
            format!("a: {}", "[".repeat(10_000))
        };
        let error = parse(&text, "f", &mut world()).expect_err("too deep");
        assert_eq!(error.text, "nested too deeply");
    }
}
