//! What a reader asks for beyond the usual: the query parameter `include[]`, which SDKs write as
//! `include[]=`, once per value, and other clients as `include=` or `include[0]=`.

use super::fields::wrong_word;
use crate::error::Invalid;
use crate::types::run_step::RunStep;

/// The one value of the documents.
const SEARCH_CONTENT: &str = "step_details.tool_calls[*].file_search.results[*].content";

/// What is included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Include {
    /// The texts that file search found.
    pub search_content: bool,
}

impl Include {
    /// Reads it out of a decoded query.
    pub fn of(query: &[(String, String)]) -> Result<Self, Invalid> {
        let mut include = Self::default();
        for (name, value) in query.iter().filter(|(name, value)| is_include(name) && !value.is_empty()) {
            if value != SEARCH_CONTENT {
                return Err(wrong_word(name, value, &[SEARCH_CONTENT]));
            }
            include.search_content = true;
        }
        Ok(include)
    }

    /// Leaves out of a step what was not asked for.
    pub fn apply(self, step: &mut RunStep) {
        if !self.search_content {
            step.hide_search_content();
        }
    }
}

/// `include`, `include[]` or `include[0]`.
fn is_include(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("include") else { return false };
    let index = rest.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    rest.is_empty() || index.is_some_and(|index| index.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &[(&str, &str)]) -> Result<Include, Invalid> {
        let query: Vec<_> = query.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Include::of(&query)
    }

    #[test]
    fn every_way_to_write_an_array_is_read() {
        for name in ["include", "include[]", "include[0]", "include[12]"] {
            assert!(of(&[(name, SEARCH_CONTENT)]).unwrap().search_content, "{name}");
            assert_eq!(of(&[(name, SEARCH_CONTENT), (name, "a")]).unwrap_err().param.as_deref(), Some(name));
            assert_eq!(of(&[(name, "")]), Ok(Include::default()));
        }
    }

    #[test]
    fn other_parameters_are_no_include() {
        for name in ["includes", "include[a]", "include[", "include]", "xinclude", "limit"] {
            assert_eq!(of(&[(name, SEARCH_CONTENT)]), Ok(Include::default()), "{name}");
        }
    }
}
