//! Reading the file of `LOCUM_CONFIG`. Every error is one line that names the key; a key that is none is an error too,
//! so that a mistyped one does not go unnoticed.

use std::time::Duration;

use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};
use secrecy::SecretString;
use serde_json::{Map, Value as Json};
use toml::{Table, Value};

use super::preset::Preset;
use super::{ConfigFile, Features, InstructionsRole, Layout, MaxTokens, Pattern, UpstreamOptions};

/// Headers that are the server's or the connection's own.
const OWN_HEADERS: &[&str] = &[
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Fields of Chat Completions that requests need as they are.
const OWN_FIELDS: &[&str] = &["model", "messages", "stream", "stream_options"];

/// The file at a path; an empty path is none.
pub fn config_file(path: &str) -> Result<ConfigFile, String> {
    if path.is_empty() {
        return Ok(ConfigFile::default());
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("it cannot be read: {error}"))?;
    read(&text, |name| std::env::var(name).ok())
}

/// Reads a file's text. `variable` is the environment.
pub(super) fn read(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<ConfigFile, String> {
    let table: Table = text.parse().map_err(|error| syntax(text, &error))?;
    let mut keys = Keys::new(String::new(), table);
    let list = match keys.take("upstream") {
        None => Vec::new(),
        Some(Value::Array(list)) => list,
        Some(_) => return Err("upstream: it is a list of tables, each headed [[upstream]]".to_owned()),
    };
    keys.end()?;
    let mut upstreams: Vec<UpstreamOptions> = Vec::with_capacity(list.len());
    for (index, value) in list.into_iter().enumerate() {
        let upstream = upstream(index + 1, value, &variable)?;
        if upstreams.iter().any(|other| other.name == upstream.name) {
            return Err(format!("upstream '{}': name: another upstream has it already", upstream.name));
        }
        upstreams.push(upstream);
    }
    Ok(ConfigFile { upstreams })
}

/// What TOML itself finds wrong, in one line.
fn syntax(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
    let message = error.message().replace('\n', ", ");
    match line {
        Some(line) => format!("line {line}: {message}"),
        None => message,
    }
}

fn upstream(
    number: usize,
    value: Value,
    variable: &impl Fn(&str) -> Option<String>,
) -> Result<UpstreamOptions, String> {
    let Value::Table(table) = value else { return Err(format!("upstream {number}: it is a table")) };
    let mut keys = Keys::new(format!("upstream {number}: "), table);
    let name = keys.text("name")?.ok_or_else(|| keys.missing("name"))?;
    keys.place = format!("upstream '{name}': ");
    let preset = keys.text("preset")?.map(|word| keys.word("preset", &word, Preset::ALL)).transpose()?;
    let base_url = match keys.text("base_url")? {
        Some(url) => Some(crate::config::base_url(&url).map_err(|error| keys.wrong("base_url", &error))?),
        None => preset.and_then(Preset::base_url),
    };
    let mut upstream = UpstreamOptions::at(&name, base_url.ok_or_else(|| keys.missing("base_url"))?);
    let api_version = keys.text("api_version")?;
    match (preset, &api_version) {
        (Some(Preset::Azure), None) => return Err(keys.missing("api_version")),
        (Some(Preset::Azure), Some(_)) | (_, None) => {}
        (_, Some(_)) => return Err(keys.wrong("api_version", "it is of the preset 'azure' alone")),
    }
    if let Some(preset) = preset {
        preset.apply(&mut upstream, api_version);
    }
    upstream.api_key = key(&mut keys, variable)?;
    if let Some(header) = keys.text("key_header")? {
        upstream.key_header = Some(header_name(&keys, "key_header", &header)?);
    }
    models(&mut keys, &mut upstream)?;
    additions(&mut keys, &mut upstream)?;
    bounds(&mut keys, &mut upstream)?;
    if let Some(table) = keys.table("features")? {
        features(Keys::new(format!("{}features.", keys.place), table), &mut upstream.features)?;
    }
    keys.end()?;
    if matches!(upstream.layout, Layout::Azure { .. }) {
        // Either form of the address is found in Azure's own pages.
        upstream.base_url = without_last(upstream.base_url, "openai");
    }
    Ok(upstream)
}

/// The key, which is never in the file itself.
fn key(keys: &mut Keys, variable: &impl Fn(&str) -> Option<String>) -> Result<Option<SecretString>, String> {
    let (setting, key) = match (keys.text("api_key_env")?, keys.text("api_key_file")?) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err(keys.wrong("api_key_file", "api_key_env names the key already")),
        (Some(name), None) => {
            let unset = || keys.wrong("api_key_env", &format!("the environment variable {name} is not set"));
            ("api_key_env", variable(&name).ok_or_else(unset)?)
        }
        (None, Some(path)) => {
            let unreadable = |error| keys.wrong("api_key_file", &format!("{path} cannot be read: {error}"));
            ("api_key_file", std::fs::read_to_string(&path).map_err(unreadable)?)
        }
    };
    let key = key.trim();
    if key.is_empty() || HeaderValue::from_str(key).is_err() {
        return Err(keys.wrong(setting, "what it names is empty or no text of one line"));
    }
    Ok(Some(SecretString::from(key.to_owned())))
}

fn models(keys: &mut Keys, upstream: &mut UpstreamOptions) -> Result<(), String> {
    let said = "it is a list of names, in which * stands for any characters";
    let list = match keys.take("models") {
        None => Vec::new(),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(keys.wrong("models", said)),
    };
    for pattern in list {
        match pattern {
            Value::String(pattern) if !pattern.is_empty() => upstream.models.push(Pattern::new(pattern)),
            _ => return Err(keys.wrong("models", said)),
        }
    }
    for (from, to) in keys.table("rename")?.unwrap_or_default() {
        match to {
            Value::String(to) if !to.is_empty() && !from.is_empty() => {
                upstream.rename.push((Pattern::new(from), to));
            }
            _ => return Err(keys.wrong(&format!("rename.{from}"), "it is the server's name of the model")),
        }
    }
    if upstream.models.is_empty() && upstream.rename.is_empty() {
        return Err(keys.wrong("models", "it is missing: no name would ever go there"));
    }
    Ok(())
}

/// Headers and fields of requests.
fn additions(keys: &mut Keys, upstream: &mut UpstreamOptions) -> Result<(), String> {
    for (name, value) in keys.table("headers")?.unwrap_or_default() {
        let key = format!("headers.{name}");
        let header = header_name(keys, &key, &name)?;
        let value = match value {
            Value::String(value) => HeaderValue::from_str(&value).ok(),
            _ => None,
        };
        let mut value = value.ok_or_else(|| keys.wrong(&key, "it is a text of one line"))?;
        value.set_sensitive(true);
        upstream.headers.push((header, value));
    }
    for (name, value) in keys.table("body")?.unwrap_or_default() {
        let key = format!("body.{name}");
        if OWN_FIELDS.contains(&name.as_str()) {
            return Err(keys.wrong(&key, "the field is every request's own"));
        }
        let value = json(value).ok_or_else(|| keys.wrong(&key, "it is nothing that JSON has"))?;
        upstream.body.insert(name, value);
    }
    Ok(())
}

fn header_name(keys: &Keys, key: &str, name: &str) -> Result<HeaderName, String> {
    let header = HeaderName::try_from(name).map_err(|_| keys.wrong(key, "it is no name of a header"))?;
    if OWN_HEADERS.contains(&header.as_str()) {
        return Err(keys.wrong(key, "the header is every request's own"));
    }
    Ok(header)
}

fn bounds(keys: &mut Keys, upstream: &mut UpstreamOptions) -> Result<(), String> {
    for (key, bound) in [
        ("connect_seconds", &mut upstream.connect),
        ("idle_seconds", &mut upstream.idle),
        ("reply_seconds", &mut upstream.reply),
    ] {
        *bound = keys.seconds(key)?.unwrap_or(*bound);
    }
    if let Some(number) = keys.number("concurrency", 1, 100_000)? {
        upstream.concurrency = usize::try_from(number).ok();
    }
    upstream.context_tokens = keys.number("context_tokens", 256, i64::MAX)?.or(upstream.context_tokens);
    Ok(())
}

fn features(mut keys: Keys, features: &mut Features) -> Result<(), String> {
    for (key, feature) in [
        ("vision", &mut features.vision),
        ("tools", &mut features.tools),
        ("json_schema", &mut features.json_schema),
    ] {
        *feature = match keys.take(key) {
            None => *feature,
            Some(Value::Boolean(has)) => has,
            Some(_) => return Err(keys.wrong(key, "it is true or false")),
        };
    }
    if let Some(word) = keys.text("max_tokens")? {
        let words =
            [("max_tokens", MaxTokens::MaxTokens), ("max_completion_tokens", MaxTokens::MaxCompletionTokens)];
        features.max_tokens = keys.word("max_tokens", &word, &words)?;
    }
    if let Some(word) = keys.text("instructions_role")? {
        let words = [("system", InstructionsRole::System), ("developer", InstructionsRole::Developer)];
        features.instructions = keys.word("instructions_role", &word, &words)?;
    }
    keys.end()
}

/// A value as JSON, which has no dates.
fn json(value: Value) -> Option<Json> {
    Some(match value {
        Value::String(text) => Json::from(text),
        Value::Integer(number) => Json::from(number),
        Value::Float(number) => Json::from(serde_json::Number::from_f64(number)?),
        Value::Boolean(flag) => Json::from(flag),
        Value::Datetime(_) => return None,
        Value::Array(list) => Json::Array(list.into_iter().map(json).collect::<Option<_>>()?),
        Value::Table(table) => {
            let fields = table.into_iter().map(|(name, value)| Some((name, json(value)?)));
            Json::Object(fields.collect::<Option<Map<_, _>>>()?)
        }
    })
}

/// A URL without its last segment, where that is this one.
fn without_last(mut url: Url, segment: &str) -> Url {
    let path = url.path().trim_end_matches('/');
    if let Some(before) = path.strip_suffix(segment).filter(|before| before.ends_with('/')) {
        let before = before.to_owned();
        url.set_path(&before);
    }
    url
}

/// A table whose keys are taken one by one; what is left at the end is nobody's.
struct Keys {
    /// What stands before a key in errors.
    place: String,
    table: Table,
    known: Vec<&'static str>,
}

impl Keys {
    fn new(place: String, table: Table) -> Self {
        Self { place, table, known: Vec::new() }
    }

    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.table.remove(key)
    }

    fn text(&mut self, key: &'static str) -> Result<Option<String>, String> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) if !text.trim().is_empty() => Ok(Some(text)),
            Some(_) => Err(self.wrong(key, "it is a text that is not empty")),
        }
    }

    fn table(&mut self, key: &'static str) -> Result<Option<Table>, String> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Table(table)) => Ok(Some(table)),
            Some(_) => Err(self.wrong(key, "it is a table")),
        }
    }

    fn number(&mut self, key: &'static str, least: i64, most: i64) -> Result<Option<i64>, String> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Integer(number)) if (least..=most).contains(&number) => Ok(Some(number)),
            Some(_) if most == i64::MAX => {
                Err(self.wrong(key, &format!("it is a whole number of {least} or more")))
            }
            Some(_) => Err(self.wrong(key, &format!("it is a whole number from {least} to {most}"))),
        }
    }

    fn seconds(&mut self, key: &'static str) -> Result<Option<Duration>, String> {
        let text = match self.take(key) {
            None => return Ok(None),
            Some(Value::Integer(number)) => number.to_string(),
            Some(Value::Float(number)) => number.to_string(),
            Some(_) => "none".to_owned(),
        };
        crate::config::some_seconds(&text).map(Some).map_err(|error| self.wrong(key, &error))
    }

    fn word<T: Copy>(&self, key: &str, word: &str, words: &[(&str, T)]) -> Result<T, String> {
        let found = words.iter().find(|(known, _)| *known == word).map(|(_, value)| *value);
        found.ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.wrong(key, &format!("it is one of {}", words.join(", ")))
        })
    }

    fn wrong(&self, key: &str, reason: &str) -> String {
        format!("{}{key}: {reason}", self.place)
    }

    fn missing(&self, key: &str) -> String {
        self.wrong(key, "it is missing")
    }

    /// Fails where a key is left.
    fn end(self) -> Result<(), String> {
        let Some(key) = self.table.keys().next() else { return Ok(()) };
        let nearest = self.known.iter().min_by_key(|known| strsim::levenshtein(known, key));
        let nearest = nearest.filter(|known| strsim::levenshtein(known, key) <= 4);
        Err(match nearest {
            Some(nearest) => self.wrong(key, &format!("it is no setting; did you mean {nearest}?")),
            None => self.wrong(key, &format!("it is no setting; there are {}", self.known.join(", "))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_documentation_is_read_whole() {
        let text = include_str!("../../../docs/models.toml");
        let file = read(text, |name| Some(format!("key of {name}"))).unwrap();
        let names: Vec<&str> = file.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
        assert_eq!(names, ["openai", "azure", "anthropic", "gemini", "ollama", "llama.cpp", "vllm"]);
        assert!(Preset::ALL.iter().all(|(word, _)| names.contains(word)), "one of each preset");
        let [openai, azure, anthropic, gemini, ollama, _, vllm] = &file.upstreams[..] else { panic!() };
        assert_eq!(openai.base_url.as_str(), "https://api.openai.com/v1");
        assert_eq!(openai.features.max_tokens, MaxTokens::MaxCompletionTokens);
        assert_eq!(azure.key_header.as_ref().unwrap(), "api-key");
        assert_eq!(azure.renamed("gpt-4o", true), "acme-gpt-4o");
        assert!(!anthropic.features.json_schema);
        assert_eq!(gemini.layout, Layout::Gemini);
        assert_eq!(ollama.context_tokens, Some(16_384));
        assert_eq!(vllm.renamed("anything", true), "meta-llama/Llama-3.3-70B-Instruct");
        assert_eq!(vllm.body["chat_template_kwargs"], serde_json::json!({"enable_thinking": false}));
        assert_eq!((vllm.connect, vllm.concurrency), (Duration::from_secs(5), Some(64)));
    }

    #[test]
    fn azures_address_is_read_with_and_without_its_last_part() {
        for (given, expected) in [
            ("https://a.azure.com", "https://a.azure.com/"),
            ("https://a.azure.com/openai/", "https://a.azure.com/"),
            ("https://a.azure.com/x/openai", "https://a.azure.com/x/"),
            ("https://a.azure.com/xopenai", "https://a.azure.com/xopenai"),
        ] {
            assert_eq!(without_last(given.parse().unwrap(), "openai").as_str(), expected);
        }
    }
}
