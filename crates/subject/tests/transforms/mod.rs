//! Transforms against what nats-server made of the same subjects, and against random subjects.

use everjet_subject::{SubjectTransform, identity_destination, is_valid_filter, matches, tokens};

/// Undoes `\xHH`.
fn bytes(field: &str) -> Vec<u8> {
    let mut parts = field.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, text) = part.split_at(2);
        bytes.push(u8::from_str_radix(digits, 16).expect("two digits"));
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

#[test]
fn subjects_become_what_nats_server_makes_of_them() {
    let rows = include_str!("values.txt").lines();
    let mut checked = 0;
    for row in rows.filter(|row| !row.starts_with('#')) {
        let fields: Vec<Vec<u8>> = row.split('\t').map(bytes).collect();
        let [source, destination, subject, expected] = &fields[..] else {
            panic!("{row}: not four fields");
        };
        let transform = SubjectTransform::mapping(source, destination)
            .unwrap_or_else(|error| panic!("{row}: {error}"));
        let mut found = Vec::new();
        assert!(transform.apply(subject, || u32::MAX, &mut found), "{row}");
        assert_eq!(found, *expected, "{row}");
        checked += 1;
    }
    assert!(checked > 300, "{checked}");
}

/// A splitmix64 sequence: the same seed gives the same test.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("below a usize")
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    /// Up to 40 bytes, some of them from a few that matter here.
    fn subject(&mut self) -> Vec<u8> {
        let special = b"..--ab*>\xc3\xa9\xff $";
        (0..self.below(40))
            .map(|_| match self.below(3) {
                0 => special[self.below(special.len())],
                1 => b'a' + u8::try_from(self.below(3)).expect("small"),
                _ => u8::try_from(self.below(256)).expect("a byte"),
            })
            .collect()
    }

    fn dotted(&mut self, choices: &[&str]) -> String {
        let mut text = self.one_of(choices).to_owned();
        for _ in 0..self.below(4) {
            text.push('.');
            text.push_str(self.one_of(choices));
        }
        text
    }
}

const FUNCTIONS: [&str; 16] = [
    "x",
    "$1",
    "$2",
    "$-1",
    "{{wildcard(1)}}",
    "{{partition(7)}}",
    "{{partition(7,1,2)}}",
    "{{random(7)}}",
    "{{split(1,-)}}",
    "{{split(1,)}}",
    "{{splitfromleft(1,2)}}",
    "{{splitfromright(1,2)}}",
    "{{slicefromleft(1,2)}}",
    "{{slicefromright(1,3)}}",
    "{{left(1,2)}}",
    "{{right(1,2)}}",
];

#[test]
fn any_subject_can_be_transformed() {
    let mut random = Random(1);
    let mut taken = 0;
    for _ in 0..60_000 {
        let mut source = random.dotted(&["a", "*", "*"]);
        let mut destination = random.dotted(&FUNCTIONS);
        if random.below(2) == 0 {
            source.push_str(".>");
            destination.push_str(".>");
        }
        let Ok(transform) = SubjectTransform::mapping(source.as_bytes(), destination.as_bytes())
        else {
            continue;
        };
        let subject = random.subject();
        let mut into = Vec::new();
        let mut bits = Random(random.next());
        let draw = || u32::try_from(bits.next() >> 32).expect("half of the bits");
        let applies = transform.apply(&subject, draw, &mut into);
        // What a subscriber could see is taken; what is not a literal may be judged otherwise.
        if matches(source.as_bytes(), &subject) && !tokens(&subject).any(|token| token == b">") {
            assert!(applies, "{source} on {subject:?}");
        }
        taken += usize::from(applies);
    }
    assert!(taken > 3_000, "{taken}");
}

/// What destinations are made of, put together without sense.
const FRAGMENTS: [&str; 24] = [
    "{{",
    "}}",
    "(",
    ")",
    ",",
    ".",
    " ",
    "\t",
    "\n",
    "-",
    "1",
    "2",
    "0",
    "-1",
    "99999999999",
    "$",
    "$1",
    "*",
    ">",
    "split",
    "Wildcard",
    "partition",
    "random",
    "sliceFromLeft",
];

#[test]
fn any_destination_is_compiled_or_refused() {
    let mut random = Random(4);
    let (mut compiled, mut refused) = (0, 0);
    for _ in 0..60_000 {
        let source = random.dotted(&["a", "*", ">"]);
        let mut destination = String::new();
        // Half of them begin like a call.
        if random.below(2) == 0 {
            let name = random.one_of(&FRAGMENTS[19..]);
            destination = format!("{{{{{name}(1,");
        }
        for _ in 0..random.below(6) {
            destination.push_str(random.one_of(&FRAGMENTS));
        }
        if random.below(2) == 0 {
            destination.push_str(")}}");
        }
        let (source, destination) = (source.as_bytes(), destination.as_bytes());
        for transform in [
            SubjectTransform::new(source, destination),
            SubjectTransform::mapping(source, destination),
            SubjectTransform::strict(source, destination),
        ] {
            match transform {
                Ok(transform) => {
                    transform.apply(b"a.b", || u32::MAX, &mut Vec::new());
                    compiled += 1;
                }
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    refused += 1;
                }
            }
        }
    }
    assert!(compiled > 5_000 && refused > 5_000, "{compiled} {refused}");
}

#[test]
fn partitions_and_random_numbers_are_below_their_bound() {
    let mut random = Random(2);
    let mut seen = [[false; 5]; 3];
    let destination = b"{{partition(5)}}.{{partition(5,2,1)}}.{{random(5)}}";
    let transform = SubjectTransform::mapping(b"*.*", destination).expect("it can be made");
    for _ in 0..20_000 {
        let mut subject = random.subject();
        subject.retain(|byte| *byte != b'.');
        subject.extend_from_slice(b"x.y");
        let mut into = Vec::new();
        let mut bits = Random(random.next());
        let draw = || u32::try_from(bits.next() >> 32).expect("half of the bits");
        assert!(transform.apply(&subject, draw, &mut into));
        let numbers = tokens(&into).map(|token| {
            let text = std::str::from_utf8(token).expect("digits");
            text.parse::<usize>().expect("a number")
        });
        for (column, number) in numbers.enumerate() {
            seen[column][number] = true;
        }
    }
    assert_eq!(seen, [[true; 5]; 3]);
}

#[test]
fn the_identity_keeps_every_subject_of_a_filter() {
    let mut random = Random(3);
    let mut kept = 0;
    for _ in 0..40_000 {
        let mut filter = random.dotted(&["a", "b", "*", "*"]);
        if random.below(3) == 0 {
            filter.push_str(".>");
        }
        assert!(is_valid_filter(filter.as_bytes()));
        let destination = identity_destination(filter.as_bytes());
        let transform = SubjectTransform::mapping(filter.as_bytes(), &destination);
        let transform = transform.unwrap_or_else(|error| panic!("{filter}: {error}"));
        let subject = random.subject();
        let mut into = Vec::new();
        if transform.apply(&subject, || 0, &mut into) {
            assert_eq!(into, subject, "{filter}");
            kept += 1;
        }
    }
    assert!(kept > 400, "{kept}");
}
