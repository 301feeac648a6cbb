//! Where an event stands among those of its run.

use std::fmt;
use std::str::FromStr;

/// The lease that published an event, and the event's place among what that lease published. Shown as
/// `TOKEN-SEQ`: the id of the event on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// 0 is what happens before any lease.
    pub token: i64,
    /// From 1.
    pub seq: i64,
}

impl Position {
    /// Before the first event of a run.
    pub const START: Position = Position { token: -1, seq: 0 };
    /// The id of events that were made up from what is stored: who comes back with it begins anew.
    pub const REBUILT: Position = Position { token: 0, seq: 0 };

    /// After all that leases up to this one published.
    pub const fn after_lease(token: i64) -> Self {
        Position { token, seq: i64::MAX }
    }

    /// Whether nothing is missing between this event and that one. Whether a lease has published all that
    /// it had to, its last event alone tells.
    pub fn is_followed_by(self, next: Position) -> bool {
        match next.token - self.token {
            0 => next.seq == self.seq.saturating_add(1),
            1.. => next.seq == 1 && (self != Position::START || next.token == 0),
            _ => false,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.token, self.seq)
    }
}

impl FromStr for Position {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (token, seq) = text.split_once('-').ok_or(())?;
        let number = |digits: &str| {
            let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().ok().filter(|_| is_plain).ok_or(())
        };
        Ok(Position { token: number(token)?, seq: number(seq)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_and_nothing_else_is_one() {
        let position = Position { token: 3, seq: 41 };
        assert_eq!(position.to_string().parse(), Ok(position));
        for bad in ["", "3", "3-", "-3", "3--1", "+3-1", "3-1-1", "3-x", "99999999999999999999-1"] {
            assert_eq!(bad.parse::<Position>(), Err(()), "{bad}");
        }
    }

    #[test]
    fn a_gap_is_seen() {
        let at = |token, seq| Position { token, seq };
        assert!(Position::START.is_followed_by(at(0, 1)));
        assert!(!Position::START.is_followed_by(at(1, 1)));
        assert!(at(1, 1).is_followed_by(at(1, 2)) && at(1, 7).is_followed_by(at(4, 1)));
        assert!(!at(1, 1).is_followed_by(at(1, 3)) && !at(1, 7).is_followed_by(at(4, 2)));
        assert!(Position::after_lease(2).is_followed_by(at(3, 1)));
    }
}
