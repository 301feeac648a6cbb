//! Ids and their order.
//!
//! Every object has a sort key, its `ord`: a UUIDv7 (RFC 9562), so that creation time comes first and
//! 74 random bits follow. The id on the wire is a prefix and the 24 base62 digits of the ord,
//! zero-padded: sortable, free of anything but `[A-Za-z0-9]` behind the prefix, and a cursor whose
//! object is gone still decodes to its place.

use rand::Rng;
use time::OffsetDateTime;
use uuid::Uuid;

/// ASCII order, so that ids sort as their ords do.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Digits of an id behind its prefix: 62^24 > 2^128.
const LENGTH: usize = 24;

/// A new sort key of this instant, above every earlier one of this process.
pub fn new_ord() -> Uuid {
    Uuid::now_v7()
}

/// A new sort key above `floor`, whatever this node's clock says.
pub fn new_ord_above(floor: Uuid) -> Uuid {
    let ord = Uuid::now_v7();
    if ord > floor {
        return ord;
    }
    // The floor came from a node whose clock is ahead: one millisecond above it, random bits fresh.
    const MILLISECOND: u128 = 1 << 80;
    let next = (floor.as_u128() / MILLISECOND + 1) * MILLISECOND;
    Uuid::from_u128(next | (ord.as_u128() % MILLISECOND))
}

/// The instant of a sort key, to the millisecond.
pub fn instant_of(ord: Uuid) -> OffsetDateTime {
    let milliseconds = i128::try_from(ord.as_u128() >> 80).unwrap_or(0);
    OffsetDateTime::from_unix_timestamp_nanos(milliseconds * 1_000_000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// The id of the object with this sort key.
pub fn id_of(prefix: &str, ord: Uuid) -> String {
    let mut digits = [b'0'; LENGTH];
    let mut rest = ord.as_u128();
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[usize::try_from(rest % 62).unwrap_or(0)];
        rest /= 62;
    }
    let mut id = String::with_capacity(prefix.len() + LENGTH);
    id.push_str(prefix);
    id.extend(digits.iter().map(|digit| char::from(*digit)));
    id
}

/// The sort key inside an id that [`id_of`] made with the same prefix.
pub fn ord_of(prefix: &str, id: &str) -> Option<Uuid> {
    let digits = id.strip_prefix(prefix)?.as_bytes();
    if digits.len() != LENGTH {
        return None;
    }
    let mut value: u128 = 0;
    for digit in digits {
        let place = DIGITS.binary_search(digit).ok()?;
        value = value.checked_mul(62)?.checked_add(place as u128)?;
    }
    let ord = Uuid::from_u128(value);
    (ord.get_version_num() == 7 && ord.get_variant() == uuid::Variant::RFC4122).then_some(ord)
}

/// `prefix` and `length` random base62 characters, for ids and keys that have no order.
pub fn random(prefix: &str, length: usize) -> String {
    let mut rng = rand::rng();
    let mut id = String::with_capacity(prefix.len() + length);
    id.push_str(prefix);
    id.extend((0..length).map(|_| char::from(DIGITS[rng.random_range(0..DIGITS.len())])));
    id
}

/// A new id of a tool call.
pub fn new_call_id() -> String {
    random("call_", LENGTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_decodes_to_its_ord() {
        let ord = new_ord();
        let id = id_of("msg_", ord);
        assert_eq!(id.len(), 4 + LENGTH);
        assert!(id[4..].bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_eq!(ord_of("msg_", &id), Some(ord));
    }

    #[test]
    fn ids_sort_as_their_ords() {
        let ords: Vec<Uuid> = (0..1000).map(|_| new_ord()).collect();
        let ids: Vec<String> = ords.iter().map(|ord| id_of("run_", *ord)).collect();
        assert!(ords.is_sorted());
        assert!(ids.is_sorted());
    }

    #[test]
    fn foreign_ids_do_not_decode() {
        let id = id_of("msg_", new_ord());
        assert_eq!(ord_of("run_", &id), None);
        assert_eq!(ord_of("msg_", "msg_abc123"), None);
        assert_eq!(ord_of("msg_", "msg_zzzzzzzzzzzzzzzzzzzzzzzz"), None);
        assert_eq!(ord_of("msg_", "msg_000000000000000000000000"), None);
        assert_eq!(ord_of("msg_", &format!("{}é", &id[..26])), None);
    }

    #[test]
    fn an_ord_above_a_floor_in_the_future_is_above_it_and_still_a_version_7() {
        let mut floor = Uuid::from_u128(new_ord().as_u128() + (60_000u128 << 80));
        for _ in 0..100 {
            let ord = new_ord_above(floor);
            assert!(ord > floor);
            assert_eq!(ord.get_version_num(), 7);
            assert_eq!(ord_of("msg_", &id_of("msg_", ord)), Some(ord));
            floor = ord;
        }
    }

    #[test]
    fn the_instant_is_now() {
        let age = OffsetDateTime::now_utc() - instant_of(new_ord());
        assert!(age.whole_seconds().abs() <= 1);
    }
}
