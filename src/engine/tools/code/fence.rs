//! Code between the fences of Markdown.

/// Takes code out of a Markdown fence.
#[derive(Debug, Clone)]
pub enum Fence {
    /// Nothing but what may become a fence.
    Start(String),
    None,
    Within {
        /// A line feed and the beginning of a line that may be the end.
        held: String,
        /// What comes next begins a line.
        is_line: bool,
    },
    Over,
}

impl Default for Fence {
    fn default() -> Self {
        Fence::Start(String::new())
    }
}

const FENCE: &str = "```";
/// Bytes that its first line has at most, and that it is indented by.
const LINE: usize = 256;

impl Fence {
    /// Takes in a piece; returns what it brings of the code.
    pub fn read(&mut self, code: &str) -> String {
        match self {
            Fence::None => code.to_owned(),
            Fence::Over => String::new(),
            Fence::Within { .. } => self.within(code),
            Fence::Start(held) => {
                held.push_str(code);
                let text = held.trim_start();
                if held.len() - text.len() > LINE {
                    let code = std::mem::take(held);
                    *self = Fence::None;
                    return code;
                }
                if text.is_empty() || FENCE.starts_with(text) {
                    return String::new();
                }
                let Some(behind) = text.strip_prefix(FENCE) else {
                    let code = std::mem::take(held);
                    *self = Fence::None;
                    return code;
                };
                // Its first line says the language.
                if behind.split('\n').next().is_some_and(|line| line.len() > LINE) {
                    let code = std::mem::take(held);
                    *self = Fence::None;
                    return code;
                }
                let Some((_, inside)) = behind.split_once('\n') else { return String::new() };
                let inside = inside.to_owned();
                *self = Fence::Within { held: String::new(), is_line: true };
                self.within(&inside)
            }
        }
    }

    /// The lines up to that which ends the fence.
    fn within(&mut self, code: &str) -> String {
        let Fence::Within { held, is_line } = self else { return String::new() };
        let mut text = std::mem::take(held) + code;
        let mut line = is_line.then_some(0);
        let mut from = 0;
        loop {
            let found = || text[from..].find('\n').map(|place| from + place + 1);
            let Some(start) = line.take().or_else(found) else { break };
            let before = start.saturating_sub(1);
            let begins = text[start..].trim_start_matches([' ', '\t']);
            if text[start..].len() - begins.len() > LINE {
                from = start;
                continue;
            }
            if begins.starts_with(FENCE) {
                text.truncate(before);
                *self = Fence::Over;
                return text;
            }
            if FENCE.starts_with(begins) {
                *is_line = start == 0;
                *held = text.split_off(before);
                return text;
            }
            from = start;
        }
        *is_line = false;
        text
    }

    /// What was held back: nothing more comes.
    pub fn finish(&mut self) -> String {
        match std::mem::replace(self, Fence::Over) {
            Fence::Start(held) => {
                let inside = held.trim().strip_prefix(FENCE).and_then(|text| text.strip_suffix(FENCE));
                inside.map_or_else(|| held.clone(), str::to_owned)
            }
            Fence::Within { held, .. } => held,
            Fence::None | Fence::Over => String::new(),
        }
    }
}
