//! The body of a request, an object of JSON, of which single fields are replaced. The values of all others go on as they
//! were written: numbers beyond what a float holds, and fields that nobody here has heard of.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::Invalid;

/// The fields of a body, in their order. Of a name that comes twice the last value counts, as it does to most
/// servers: what is read here is what they read.
pub struct Object<'a> {
    fields: Vec<(String, &'a str)>,
    places: HashMap<String, usize>,
    /// The text holds nothing that is passed over.
    is_plain: bool,
}

impl<'a> Object<'a> {
    pub fn read(text: &'a [u8]) -> Result<Self, Invalid> {
        let Pairs(pairs) = serde_json::from_slice(text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let what = if error.is_data() { "is no JSON object" } else { "is not valid JSON" };
            Invalid::state(format!("The request body {what} (line {line}, column {column})."))
        })?;
        let mut object =
            Self { fields: Vec::with_capacity(pairs.len()), places: HashMap::new(), is_plain: true };
        for (name, value) in pairs {
            if object.places.contains_key(&name) {
                object.is_plain = false;
            }
            object.put(name, value.get());
        }
        Ok(object)
    }

    fn put(&mut self, name: String, value: &'a str) {
        match self.places.get(&name) {
            Some(place) => self.fields[*place].1 = value,
            None => {
                self.places.insert(name.clone(), self.fields.len());
                self.fields.push((name, value));
            }
        }
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.places.get(name).map(|place| self.fields[*place].1)
    }

    /// A field that is a text, where it is there and not null.
    pub fn text(&self, name: &str) -> Result<Option<String>, Invalid> {
        match self.get(name) {
            None | Some("null") => Ok(None),
            Some(value) => serde_json::from_str(value).map(Some).map_err(|_| {
                Invalid::field(name, "invalid_type", format!("Invalid type for '{name}': expected a string."))
            }),
        }
    }

    /// A field, whatever it is.
    pub fn value(&self, name: &str) -> Option<Value> {
        serde_json::from_str(self.get(name)?).ok()
    }

    /// The body with these fields in place of its own; nothing where it stays as it is.
    pub fn with<'b>(&self, replaced: impl IntoIterator<Item = (&'b str, Value)>) -> Option<Vec<u8>> {
        let replaced: Vec<(&str, String)> =
            replaced.into_iter().map(|(name, value)| (name, value.to_string())).collect();
        if self.is_plain && replaced.is_empty() {
            return None;
        }
        let new =
            |name: &str| replaced.iter().find(|(other, _)| *other == name).map(|(_, value)| value.as_str());
        let own = self.fields.iter().map(|(name, value)| (name.as_str(), new(name).unwrap_or(value)));
        let added = replaced.iter().filter(|(name, _)| !self.places.contains_key(*name));
        let mut body = String::from("{");
        for (name, value) in own.chain(added.map(|(name, value)| (*name, value.as_str()))) {
            if body.len() > 1 {
                body.push(',');
            }
            body.push_str(&Value::from(name).to_string());
            body.push(':');
            body.push_str(value);
        }
        body.push('}');
        Some(body.into_bytes())
    }
}

/// All pairs of an object.
struct Pairs<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Pairs<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_replaced_stays_as_it_was_written() {
        let text = br#" {"model" : "a", "seed": 12345678901234567890123, "x": [ 1.10 ]} "#;
        let object = Object::read(text).unwrap();
        assert_eq!(object.text("model").unwrap().as_deref(), Some("a"));
        assert_eq!(object.with([]), None);
        let changed = object.with([("model", json!("b\"")), ("added", json!({"y": null}))]).unwrap();
        let expected = r#"{"model":"b\"","seed":12345678901234567890123,"x":[ 1.10 ],"added":{"y":null}}"#;
        assert_eq!(String::from_utf8(changed).unwrap(), expected);
    }

    #[test]
    fn of_two_fields_of_a_name_the_last_counts_and_goes_on_alone() {
        let object = Object::read(br#"{"model": "a", "\u006dodel": "b"}"#).unwrap();
        assert_eq!(object.text("model").unwrap().as_deref(), Some("b"));
        assert_eq!(object.with([]).unwrap(), br#"{"model":"b"}"#);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in ["", "[]", "\"a\"", "{", "{\"a\": 1} x", "{\"a\": nul}", "\u{feff}{}"] {
            assert!(Object::read(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Object::read(b"{\"a\": \"\xff\"}").is_err());
        let object = Object::read(br#"{"model": 1, "user": null}"#).unwrap();
        assert!(object.text("model").is_err());
        assert_eq!(object.text("user"), Ok(None));
    }
}
