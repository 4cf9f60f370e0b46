//! Parses JSON objects without nested values, so that no body takes more memory than its length: nested objects are ignored,
//! and lists become one text.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::http::body::fields::Value;

/// Maximum number of fields in a body. Every form has fewer.
pub(crate) const MAX_MEMBERS: usize = 64;

/// Maximum length of a list, in bytes: enough for the accounts of one bulk action.
const MAX_LIST_BYTES: usize = 16 * 1024;

/// The members of an object, in order. Keeps at most one more than [`MAX_MEMBERS`], so that the caller sees that there are too
/// many: members of a few bytes take many times their length in memory.
pub(crate) struct Members(pub(crate) Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while members.len() <= MAX_MEMBERS {
                    let Some(member) = map.next_entry()? else {
                        return Ok(Members(members));
                    };
                    members.push(member);
                }
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Member)
    }
}

struct Member;

impl<'de> Visitor<'de> for Member {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    // The original accepts numbers as texts, and some clients send codes as numbers.
    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.to_string()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Number(number.to_string()))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Flag(flag))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = String::new();
        while let Some(item) = items.next_element()? {
            let (Value::Text(item) | Value::Number(item)) = item else {
                return ignore_rest(items);
            };
            if item.contains(',') || list.len() + item.len() > MAX_LIST_BYTES {
                return ignore_rest(items);
            }
            list.push_str(&item);
            list.push(',');
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }
}

fn ignore_rest<'de, A: SeqAccess<'de>>(mut items: A) -> Result<Value, A::Error> {
    while items.next_element::<IgnoredAny>()?.is_some() {}
    Ok(Value::Other)
}
