//! Numbers of cells as a reader sees them. Days are numbers too: only the format of a cell tells that 45413 is
//! the first of May.

use std::collections::HashMap;

use time::{Date, Duration, Month, Time};

use super::super::Failure;
use super::archive::Archive;
use super::xml::Node;

const SECONDS_OF_DAY: f64 = 86_400.0;
/// The last day that there is: 9999-12-31.
const LAST_DAY: f64 = 2_958_465.0;
/// Between these, numbers are written out.
const WRITTEN_OUT: std::ops::Range<f64> = 1e-5..1e15;

/// The formats of cells, by the numbers that cells name.
#[derive(Default)]
pub(super) struct Numbers {
    days: Vec<bool>,
    since_1904: bool,
}

impl Numbers {
    pub fn read(archive: &mut Archive<'_>, part: &str, since_1904: bool) -> Result<Self, Failure> {
        let mut own: HashMap<u32, bool> = HashMap::new();
        let mut days = Vec::new();
        let mut in_cells = false;
        archive.walk(part, &mut |node| {
            match node {
                Node::Open(element) if element.is("cellXfs") => in_cells = true,
                Node::Close("cellXfs") => in_cells = false,
                Node::Open(element) => {
                    let id = element.attribute("numFmtId").and_then(|id| id.parse().ok());
                    if element.is("numFmt") {
                        let is_day = is_day(&element.attribute("formatCode").unwrap_or_default());
                        own.extend(id.map(|id| (id, is_day)));
                    } else if in_cells && element.is("xf") {
                        let of = |id| own.get(&id).copied().unwrap_or(matches!(id, 14..=22 | 45 | 47));
                        days.push(id.is_some_and(of));
                    }
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(Self { days, since_1904 })
    }

    /// A cell's number with the format of that number.
    pub fn text(&self, value: &str, format: usize) -> String {
        let Ok(number) = value.trim().parse::<f64>() else { return value.to_owned() };
        if self.days.get(format).is_some_and(|is_day| *is_day)
            && let Some(day) = day(number, self.since_1904)
        {
            return day;
        }
        // As many digits as Excel knows: 0.1 + 0.2 is 0.3.
        let number = format!("{number:.14e}").parse().unwrap_or(number);
        if number == 0.0 || WRITTEN_OUT.contains(&number.abs()) {
            number.to_string()
        } else {
            value.to_owned()
        }
    }
}

/// Whether a format writes days or times of day: it has their letters outside of quotes and brackets. Hours
/// beyond a day, in brackets, are an amount.
fn is_day(format: &str) -> bool {
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        match character.to_ascii_lowercase() {
            '"' => while characters.next().is_some_and(|character| character != '"') {},
            '[' => {
                let inside: String = characters.by_ref().take_while(|character| *character != ']').collect();
                if matches!(inside.to_ascii_lowercase().as_str(), "h" | "hh" | "m" | "mm" | "s" | "ss") {
                    return false;
                }
            }
            '\\' | '_' | '*' => {
                characters.next();
            }
            'g' if format.eq_ignore_ascii_case("general") => return false,
            ';' => return false,
            'y' | 'd' | 'h' | 's' => return true,
            _ => {}
        }
    }
    false
}

/// The day and the time that a number stands for.
fn day(number: f64, since_1904: bool) -> Option<String> {
    if !(0.0..=LAST_DAY).contains(&number) {
        return None;
    }
    // Within the range, so nothing is cut off.
    #[expect(clippy::cast_possible_truncation, reason = "the number is below three millions")]
    let (mut days, mut seconds) = (number.trunc() as i64, (number.fract() * SECONDS_OF_DAY).round() as i64);
    if seconds == 86_400 {
        (days, seconds) = (days + 1, 0);
    }
    let time = Time::MIDNIGHT + Duration::seconds(seconds);
    let clock = if time.second() == 0 {
        format!("{:02}:{:02}", time.hour(), time.minute())
    } else {
        format!("{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second())
    };
    if number < 1.0 && !since_1904 {
        return Some(clock);
    }
    let epoch = match (since_1904, days) {
        (true, _) => (1904, Month::January, 1),
        // Day 60 is the 29th of February 1900, which there never was.
        (false, ..60) => (1899, Month::December, 31),
        (false, _) => (1899, Month::December, 30),
    };
    let epoch = Date::from_calendar_date(epoch.0, epoch.1, epoch.2).ok()?;
    let date = epoch.checked_add(Duration::days(days))?;
    Some(if seconds == 0 { date.to_string() } else { format!("{date} {clock}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_written_as_days() {
        assert_eq!(day(45_413.0, false).unwrap(), "2024-05-01");
        assert_eq!(day(45_413.562_5, false).unwrap(), "2024-05-01 13:30");
        assert_eq!(day(59.0, false).unwrap(), "1900-02-28");
        assert_eq!(day(61.0, false).unwrap(), "1900-03-01");
        assert_eq!(day(0.25, false).unwrap(), "06:00");
        assert_eq!(day(0.0, true).unwrap(), "1904-01-01");
        assert_eq!(day(45_412.999_999_999, false).unwrap(), "2024-05-01");
        assert_eq!(day(-1.0, false), None);
        assert_eq!(day(f64::NAN, false), None);
    }

    #[test]
    fn formats_tell_days_from_amounts() {
        for day in ["yyyy-mm-dd", "d/m/yy h:mm", "[$-409]h:mm AM/PM", "mm:ss", "\"Week of\" d"] {
            assert!(is_day(day), "{day}");
        }
        for amount in ["General", "0.00", "#,##0 \"days\"", "[Red]0;[Blue]0", "[h]:mm", "0\\d", "0;-d", "@"] {
            assert!(!is_day(amount), "{amount}");
        }
    }

    #[test]
    fn numbers_have_no_noise() {
        let numbers = Numbers { days: vec![false, true], since_1904: false };
        assert_eq!(numbers.text("0.30000000000000004", 0), "0.3");
        assert_eq!(numbers.text("45413", 1), "2024-05-01");
        assert_eq!(numbers.text("45413", 9), "45413");
        assert_eq!(numbers.text("1E+300", 0), "1E+300");
        assert_eq!(numbers.text("-12.50", 0), "-12.5");
        assert_eq!(numbers.text("x", 1), "x");
    }
}
