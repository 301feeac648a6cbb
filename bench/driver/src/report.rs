//! The table: what was wanted, what was measured, and whether it is enough.

use crate::stats::Spread;

/// What the design asks for.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

/// A line of the table.
pub struct Row {
    what: String,
    goal: Goal,
    unit: &'static str,
    measured: Spread,
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
        Self { what: what.into(), goal, unit, measured, raw: raw.into() }
    }

    /// Whether the median meets the goal.
    fn is_met(&self) -> bool {
        match self.goal {
            Goal::AtMost(most) => self.measured.median <= most,
            Goal::AtLeast(least) => self.measured.median >= least,
        }
    }

    fn goal(&self) -> String {
        match self.goal {
            Goal::AtMost(most) => format!("≤ {most}{}", self.unit),
            Goal::AtLeast(least) => format!("≥ {least}{}", self.unit),
        }
    }

    fn measured(&self) -> String {
        let Spread { median, low, high } = self.measured;
        let (middle, low, high) = (number(median), number(low), number(high));
        if low == high {
            format!("{middle}{}", self.unit)
        } else {
            format!("{middle}{} ({low}–{high})", self.unit)
        }
    }
}

/// Three digits that say something.
pub fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The table in Markdown.
pub fn table(rows: &[Row]) -> String {
    let mut text = String::from("| what | goal | measured | met | raw |\n|---|---|---|---|---|\n");
    for row in rows {
        let met = if row.is_met() { "yes" } else { "**no**" };
        text += &format!("| {} | {} | {} | {met} | {} |\n", row.what, row.goal(), row.measured(), row.raw);
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
        ];
        let table = table(&rows);
        assert!(table.contains("| a | ≥ 0.75 | 0.76 (0.50–1.00) | yes | raw |"), "{table}");
        assert!(table.contains("| b | ≤ 0.7 ms | 0.76 ms (0.50–1.00) | **no** |  |"), "{table}");
    }
}
