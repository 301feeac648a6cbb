//! Which files a filter lets through.

use std::cmp::Ordering;

use serde_json::Value;

use crate::types::vector_store::{Attributes, Comparison, Filter};

/// Whether these attributes pass. What a file does not have equals nothing: it passes `ne` and `nin` alone.
pub fn passes(filter: &Filter, attributes: &Attributes) -> bool {
    match filter {
        Filter::And(filters) => filters.iter().all(|filter| passes(filter, attributes)),
        Filter::Or(filters) => filters.iter().any(|filter| passes(filter, attributes)),
        Filter::Compare { key, comparison } => compare(attributes.get(key), comparison),
    }
}

fn compare(value: Option<&Value>, comparison: &Comparison) -> bool {
    let order = |other: &Value| value.and_then(|value| order(value, other));
    let is = |other: &Value| order(other) == Some(Ordering::Equal);
    match comparison {
        Comparison::Eq(other) => is(other),
        Comparison::Ne(other) => !is(other),
        Comparison::Gt(other) => order(other) == Some(Ordering::Greater),
        Comparison::Gte(other) => order(other).is_some_and(Ordering::is_ge),
        Comparison::Lt(other) => order(other) == Some(Ordering::Less),
        Comparison::Lte(other) => order(other).is_some_and(Ordering::is_le),
        Comparison::In(others) => others.iter().any(is),
        Comparison::Nin(others) => !others.iter().any(is),
    }
}

/// How two values of one kind stand to each other.
fn order(value: &Value, other: &Value) -> Option<Ordering> {
    match (value, other) {
        (Value::String(value), Value::String(other)) => Some(value.cmp(other)),
        (Value::Bool(value), Value::Bool(other)) => Some(value.cmp(other)),
        (Value::Number(value), Value::Number(other)) => match (value.as_i64(), other.as_i64()) {
            (Some(value), Some(other)) => Some(value.cmp(&other)),
            _ => value.as_f64()?.partial_cmp(&other.as_f64()?),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn compares(key: &str, comparison: Comparison) -> bool {
        let attributes = json!({"year": 2024, "ratio": 0.5, "lang": "de", "draft": false});
        let attributes = attributes.as_object().unwrap();
        passes(&Filter::Compare { key: key.to_owned(), comparison }, attributes)
    }

    #[test]
    fn values_are_compared_with_their_like() {
        assert!(compares("year", Comparison::Eq(json!(2024))));
        assert!(compares("year", Comparison::Eq(json!(2024.0))));
        assert!(!compares("year", Comparison::Eq(json!("2024"))));
        assert!(compares("year", Comparison::Gt(json!(2023.5))));
        assert!(!compares("year", Comparison::Gt(json!(2024))));
        assert!(compares("year", Comparison::Gte(json!(2024))));
        assert!(compares("ratio", Comparison::Lt(json!(1))));
        assert!(compares("lang", Comparison::Lte(json!("de"))));
        assert!(compares("draft", Comparison::Eq(json!(false))));
        assert!(compares("lang", Comparison::In(vec![json!("en"), json!("de")])));
        assert!(!compares("lang", Comparison::Nin(vec![json!("en"), json!("de")])));
    }

    #[test]
    fn what_is_not_there_equals_nothing() {
        assert!(!compares("none", Comparison::Eq(json!(1))));
        assert!(compares("none", Comparison::Ne(json!(1))));
        assert!(!compares("none", Comparison::Lt(json!(1))));
        assert!(compares("none", Comparison::Nin(vec![json!(1)])));
        assert!(compares("lang", Comparison::Ne(json!(1))));
    }

    #[test]
    fn filters_combine() {
        let is = |key: &str, value: Value| Filter::Compare {
            key: key.to_owned(),
            comparison: Comparison::Eq(value),
        };
        let attributes = json!({"a": 1, "b": 2});
        let attributes = attributes.as_object().unwrap();
        assert!(passes(&Filter::And(vec![is("a", json!(1)), is("b", json!(2))]), attributes));
        assert!(!passes(&Filter::And(vec![is("a", json!(1)), is("b", json!(3))]), attributes));
        assert!(passes(&Filter::Or(vec![is("a", json!(9)), is("b", json!(2))]), attributes));
        assert!(passes(&Filter::And(vec![]), attributes));
        assert!(!passes(&Filter::Or(vec![]), attributes));
    }
}
