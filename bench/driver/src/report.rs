//! The table: what was wanted, what was measured, and whether it is enough.

use crate::stats::Spread;

/// What the design asks for.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    AtMost(f64),
    AtLeast(f64),
    /// Nothing: the row tells what else was seen.
    Open,
}

/// A line of the table.
pub struct Row {
    what: String,
    goal: Goal,
    unit: &'static str,
    /// What was measured, or why it could not be.
    measured: Result<Spread, String>,
    /// The figures behind it.
    raw: String,
}

impl Row {
    /// `unit` follows every number, with its own space if it wants one.
    pub fn new(
        what: impl Into<String>,
        goal: Goal,
        unit: &'static str,
        measured: Spread,
        raw: impl Into<String>,
    ) -> Self {
        Self { what: what.into(), goal, unit, measured: Ok(measured), raw: raw.into() }
    }

    /// A row that stays empty, and why.
    pub fn not_measured(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), goal: Goal::Open, unit: "", measured: Err(why.into()), raw: String::new() }
    }

    /// Whether there is a figure.
    pub fn is_measured(&self) -> bool {
        self.measured.is_ok()
    }

    /// Whether the median meets the goal.
    fn met(&self) -> &'static str {
        let Ok(Spread { median, .. }) = self.measured else { return "" };
        let is_met = match self.goal {
            Goal::AtMost(most) => median <= most,
            Goal::AtLeast(least) => median >= least,
            Goal::Open => return "",
        };
        if is_met { "yes" } else { "**no**" }
    }

    fn goal(&self) -> String {
        match self.goal {
            Goal::AtMost(most) => format!("≤ {most}{}", self.unit),
            Goal::AtLeast(least) => format!("≥ {least}{}", self.unit),
            Goal::Open => String::new(),
        }
    }

    fn measured(&self) -> String {
        let Spread { median, low, high } = match &self.measured {
            Ok(spread) => *spread,
            Err(why) => return format!("**not measured**: {}", one_line(why)),
        };
        let (middle, low, high) = (number(median), number(low), number(high));
        if low == high {
            format!("{middle}{}", self.unit)
        } else {
            format!("{middle}{} ({low}–{high})", self.unit)
        }
    }
}

/// A cell of the table holds no line break and no bar.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace('|', "/")
}

/// Three digits that say something.
pub fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A count with a comma between the thousands.
pub fn count(value: usize) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The table in Markdown.
pub fn table(rows: &[Row]) -> String {
    let mut text = String::from("| what | goal | measured | met | raw |\n|---|---|---|---|---|\n");
    for row in rows {
        let cells = [row.what.clone(), row.goal(), row.measured(), row.met().to_owned(), row.raw.clone()];
        text += &format!("| {} |\n", cells.join(" | "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_decides() {
        let measured = Spread { median: 0.76, low: 0.5, high: 1.0 };
        let rows = [
            Row::new("a", Goal::AtLeast(0.75), "", measured, "raw"),
            Row::new("b", Goal::AtMost(0.7), " ms", measured, ""),
            Row::new("c", Goal::Open, "", measured, ""),
        ];
        let table = table(&rows);
        assert!(table.contains("| a | ≥ 0.75 | 0.76 (0.50–1.00) | yes | raw |"), "{table}");
        assert!(table.contains("| b | ≤ 0.7 ms | 0.76 ms (0.50–1.00) | **no** |  |"), "{table}");
        assert!(table.contains("| c |  | 0.76 (0.50–1.00) |  |  |"), "{table}");
    }

    #[test]
    fn what_could_not_be_measured_says_why_and_meets_nothing() {
        let row = Row::not_measured("a", "route\nmissing");
        assert!(!row.is_measured());
        assert!(table(&[row]).contains("| a |  | **not measured**: route missing |  |  |"));
    }

    #[test]
    fn thousands_are_parted() {
        assert_eq!([10, 1_000, 100_000, 1_000_000].map(count), ["10", "1,000", "100,000", "1,000,000"]);
    }
}
