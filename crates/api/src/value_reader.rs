//! Reading values out of parsed JSON by the rules of the server: keys in any case, `null` leaves a field as it is,
//! unknown fields refused or not, and errors that name the field.

use std::fmt;

use serde::de::{
    self, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};

use crate::decode::UnknownFields;

/// Why a value can not be read.
#[derive(Debug)]
pub(crate) struct ReadError {
    /// The keys that lead to the value, the innermost first.
    path: Vec<String>,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    /// The text says it all.
    Told(String),
    /// A value of another type was expected.
    Type { found: String, expected: String },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            Problem::Told(text) => f.write_str(text),
            Problem::Type { found, expected } if self.path.is_empty() => {
                write!(
                    f,
                    "json: cannot unmarshal {found} into value of type {expected}"
                )
            }
            Problem::Type { found, expected } => {
                let keys: Vec<&str> = self.path.iter().rev().map(String::as_str).collect();
                let field = keys.join(".");
                write!(
                    f,
                    "json: cannot unmarshal {found} into field {field} of type {expected}"
                )
            }
        }
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self {
            path: Vec::new(),
            problem: Problem::Told(text.to_string()),
        }
    }

    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        use de::Unexpected as Found;
        let expected = go_type(&expected.to_string());
        let is_integer = expected.contains("int");
        let found = match found {
            Found::Bool(_) => "bool".to_owned(),
            Found::Unsigned(number) if is_integer => format!("number {number}"),
            Found::Signed(number) if is_integer => format!("number {number}"),
            Found::Float(number) if is_integer => format!("number {number}"),
            Found::Unsigned(_) | Found::Signed(_) | Found::Float(_) => "number".to_owned(),
            Found::Str(_) => "string".to_owned(),
            Found::Seq => "array".to_owned(),
            Found::Map => "object".to_owned(),
            other => other.to_string(),
        };
        Self {
            path: Vec::new(),
            problem: Problem::Type { found, expected },
        }
    }
}

impl ReadError {
    /// The same error, seen from the struct around.
    fn inside(mut self, key: &str) -> Self {
        self.path.push(key.to_owned());
        self
    }
}

/// What clients know the expected type as.
fn go_type(expected: &str) -> String {
    match expected {
        "a string" => "string",
        "a boolean" => "bool",
        "a sequence" => "array",
        "i32" => "int32",
        "i64" => "int64",
        "u64" => "uint64",
        _ => "object",
    }
    .to_owned()
}

/// Reads one value.
pub(crate) struct ValueReader {
    value: Value,
    unknown: UnknownFields,
}

impl ValueReader {
    pub(crate) fn new(value: Value, unknown: UnknownFields) -> Self {
        Self { value, unknown }
    }
}

impl<'de> Deserializer<'de> for ValueReader {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.value {
            // In a list or map there is no field to leave as it is: null is the empty text.
            Value::Null => visitor.visit_str(""),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(value), _) => visitor.visit_u64(value),
                (None, Some(value)) => visitor.visit_i64(value),
                (None, None) => visitor.visit_f64(number.as_f64().unwrap_or(f64::MAX)),
            },
            Value::String(text) => visitor.visit_string(text),
            Value::Array(items) => visitor.visit_seq(ItemReader {
                items: items.into_iter().enumerate(),
                unknown: self.unknown,
            }),
            Value::Object(members) => {
                visitor.visit_map(MemberReader::new(members, None, self.unknown))
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match self.value {
            Value::Object(members) => {
                visitor.visit_map(MemberReader::new(members, Some(fields), self.unknown))
            }
            Value::Null => {
                visitor.visit_map(MemberReader::new(Map::new(), Some(fields), self.unknown))
            }
            // A derived visitor would take an array for the fields in order.
            Value::Array(_) => Err(de::Error::invalid_type(de::Unexpected::Seq, &visitor)),
            _ => self.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// Reads the members of an object.
struct MemberReader {
    members: serde_json::map::IntoIter,
    /// The fields there are; `None` when any key is one.
    fields: Option<&'static [&'static str]>,
    unknown: UnknownFields,
    next: Option<(String, Value)>,
}

impl MemberReader {
    fn new(
        members: Map<String, Value>,
        fields: Option<&'static [&'static str]>,
        unknown: UnknownFields,
    ) -> Self {
        Self {
            members: members.into_iter(),
            fields,
            unknown,
            next: None,
        }
    }

    /// The next member that is to be read, under the name of its field.
    fn advance(&mut self) -> Result<Option<(String, Value)>, ReadError> {
        for (key, value) in self.members.by_ref() {
            let Some(fields) = self.fields else {
                return Ok(Some((key, value)));
            };
            let field = fields
                .iter()
                .find(|field| **field == key)
                .or_else(|| fields.iter().find(|field| field.eq_ignore_ascii_case(&key)));
            match field {
                Some(_) if value.is_null() => {}
                Some(field) => return Ok(Some(((*field).to_owned(), value))),
                None if self.unknown == UnknownFields::Ignore => {}
                None => {
                    return Err(de::Error::custom(format_args!(
                        "json: unknown field {key:?}"
                    )));
                }
            }
        }
        Ok(None)
    }
}

impl<'de> MapAccess<'de> for MemberReader {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ReadError> {
        self.next = self.advance()?;
        match &self.next {
            Some((key, _)) => seed.deserialize(key.as_str().into_deserializer()).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let (key, value) = self.next.take().expect("serde asks for a key first");
        seed.deserialize(ValueReader::new(value, self.unknown))
            .map_err(|error| error.inside(&key))
    }
}

/// Reads the items of an array.
struct ItemReader {
    items: std::iter::Enumerate<std::vec::IntoIter<Value>>,
    unknown: UnknownFields,
}

impl<'de> SeqAccess<'de> for ItemReader {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ReadError> {
        let Some((index, value)) = self.items.next() else {
            return Ok(None);
        };
        seed.deserialize(ValueReader::new(value, self.unknown))
            .map(Some)
            .map_err(|error| error.inside(&index.to_string()))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}
