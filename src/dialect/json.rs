//! Reading JSON within bounds. A value of two bytes, such as `0,`, takes a hundred times as much once it
//! is read; the length of a body bounds its memory only together with the number of its values.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Values in one body at most, those within others counted. A thread can be created with 80,000
/// messages; the worst of them, an array around each value, take about 60 MiB.
const MOST_VALUES: usize = 250_000;

/// Reads one JSON value and nothing behind it. Beside the number of values their depth is bounded, by
/// `serde_json`.
pub fn read(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = Counted(&Cell::new(MOST_VALUES)).deserialize(&mut json)?;
    json.end()?;
    Ok(value)
}

/// Reads a value and counts it down.
#[derive(Clone, Copy)]
struct Counted<'a>(&'a Cell<usize>);

impl<'de> DeserializeSeed<'de> for Counted<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let Some(left) = self.0.get().checked_sub(1) else {
            return Err(D::Error::custom(format!("it holds more than {MOST_VALUES} values")));
        };
        self.0.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Counted<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        // JSON has no other than finite numbers.
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = sequence.next_element_seed(self)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = fields.next_key::<String>()? {
            map.insert(key, fields.next_value_seed(self)?);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_they_came() {
        let text = r#"{"z":[null,true,-1,18446744073709551615,1.5,"é\n"],"a":{"b":{}},"":[]}"#;
        assert_eq!(read(text.as_bytes()).unwrap().to_string(), text);
        assert_eq!(read(br#"{"a": 1, "b": 2, "a": 3}"#).unwrap().to_string(), r#"{"a":3,"b":2}"#);
        for wrong in ["", "{", "[1,]", "{} {}", "1e999", r#""\ud800""#, "nul"] {
            assert!(read(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_key_of_the_json_library_itself_is_a_key_like_any_other() {
        let text = r#"{"$serde_json::private::RawValue":"[1]"}"#;
        assert_eq!(read(text.as_bytes()).unwrap().to_string(), text);
    }

    #[test]
    fn so_many_values_are_read_and_no_more() {
        // The array itself is one of them.
        let array = |values: usize| format!("[{}0]", "0,".repeat(values - 2));
        assert!(read(array(MOST_VALUES).as_bytes()).is_ok());
        let error = read(array(MOST_VALUES + 1).as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("it holds more than 250000 values at line 1"), "{error}");
        let nested = format!("[{}0]", "[{}],".repeat(MOST_VALUES / 2));
        assert!(read(nested.as_bytes()).is_err());
    }

    #[test]
    fn depth_is_bounded() {
        assert!(read(format!("{}{}", "[".repeat(100), "]".repeat(100)).as_bytes()).is_ok());
        let error = read("[".repeat(100_000).as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("recursion limit exceeded"), "{error}");
    }
}
