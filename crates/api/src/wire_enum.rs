//! Enumerations that are lower-case words on the wire.

/// Declares an enum whose variants are words on the wire. A word that is not listed is refused with the text that
/// nats-server gives; `unknown as` names the enumeration in it.
macro_rules! wire_enum {
    (
        $(#[$doc:meta])*
        $name:ident $(unknown as $what:literal)? { $( $(#[$variant_doc:meta])* $variant:ident = $word:literal, )+ }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub enum $name {
            $( $(#[$variant_doc])* $variant, )+
        }

        impl $name {
            /// The word on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $( Self::$variant => $word, )+
                }
            }

            /// The variant with this word.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word {
                    $( $word => Some(Self::$variant), )+
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = <String as serde::Deserialize>::deserialize(deserializer)?;
                Self::from_word(&word).ok_or_else(|| {
                    let what: &[&str] = &[$($what)?];
                    serde::de::Error::custom($crate::wire_enum::unknown_word(what, &word))
                })
            }
        }
    };
}

pub(crate) use wire_enum;

/// The text that refuses a word which is none of those known.
pub(crate) fn unknown_word(what: &[&str], word: &str) -> String {
    let quoted = format!("{word:?}");
    match what.first() {
        Some(what) => format!("unknown {what}: {quoted}"),
        None => format!("can not unmarshal {quoted:?}"),
    }
}
