//! The prompt of a turn: instructions, the thread's history newest first until the budget is used up,
//! and what the run itself has said and called so far.
//!
//! The history is read page by page backwards, so that a long thread costs no more than a short one. It
//! is cut oldest first and never loses the newest message of the user.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::citations::{self, Form, Sources};
use super::images::{self, Images};
use super::outcome::Stop;
use super::tokens;
use super::tools::{self, Offer, code_interpreter, file_search, function};
use crate::error::Error;
use crate::interpreter::name_of;
use crate::pool::PgPool;
use crate::services::code_files::{self, CodeFile, Input};
use crate::services::files;
use crate::services::messages::history::{self, HistoryMessage};
use crate::services::run_steps::{self, ModelCall};
use crate::services::runs::LeasedRun;
use crate::types::message::{ContentPart, Role};
use crate::types::run::{Run, TruncationKind};
use crate::types::run_step::{CodeInterpreterOutput, StepDetails, ToolCall, ToolCallKind};
use crate::types::tool::ResponseFormat;

/// Messages of the history read at once: what fills a small window.
const PAGE: i64 = 100;
/// What the model is told where there is nothing else to tell it: a run of v1 on an empty thread, or one
/// whose messages were deleted. No model answers to an empty prompt.
const NO_INSTRUCTIONS: &str = "You are a helpful assistant.";
/// The share of the context window that is kept for the reply where the run names no maximum.
const REPLY_SHARE: i64 = 4;
/// Tokens that this server's outputs to one reply's calls take at most, and the share of the room that they leave to
/// the history and to what follows.
const MOST_OF_OUTPUTS: i64 = 16_000;
const OUTPUTS_LEAVE: i64 = 4;
/// An output of this server that is no longer is never cut: it holds no passages.
const SHORT_OUTPUT: i64 = 200;

/// A prompt, and the history in it.
pub struct Prompt {
    /// The body of `createChatCompletion`.
    pub body: Map<String, Value>,
    /// Whether it is longer than what the run's maximum of prompt tokens leaves, however short the history.
    pub exceeds_maximum: bool,
    /// What the run has found in files so far.
    pub sources: Sources,
    /// The files of images that the run's code has drawn since its last message.
    pub images: Vec<String>,
    history: Vec<HistoryMessage>,
    /// Tokens that a prompt may take of the context window.
    room: i64,
    /// What the prompt holds beside the history, where outputs of this server may have to fit beside it.
    fixed_texts: Vec<String>,
}

impl Prompt {
    /// Tokens of the history, counted: what to halve when the upstream finds the prompt too long.
    pub fn history_tokens(&self) -> i64 {
        self.history.iter().map(tokens::of_message).sum()
    }

    /// Tokens that this server's outputs to the calls of a reply may take in the next prompt: a share of what is left
    /// beside that which is never cut.
    pub fn room_for_outputs(&self, leased: &LeasedRun, reply: &str) -> i64 {
        let room = tokens_left(leased).prompt.map_or(self.room, |prompt| self.room.min(prompt));
        let kept = self.history.iter().find(|message| message.role == Role::User);
        let share = |measure: fn(&str) -> i64| {
            let fixed = self.fixed_texts.iter().map(|text| measure(text)).sum::<i64>();
            let kept = kept.map_or(0, |message| tokens::of_content(&message.content, measure));
            let left = room - fixed - kept - measure(reply) - tokens::PER_MESSAGE;
            (left - left / OUTPUTS_LEAVE).clamp(0, MOST_OF_OUTPUTS)
        };
        match share(tokens::at_most) {
            MOST_OF_OUTPUTS => MOST_OF_OUTPUTS,
            _ => share(tokens::count),
        }
    }
}

/// What bounds a prompt.
pub struct Bounds<'a> {
    /// The upstream's name of the model.
    pub model: &'a str,
    /// Its context window, in tokens.
    pub window: i64,
    /// The history's budget where an upstream error has cut it, in tokens.
    pub history_limit: Option<i64>,
    /// How often what this server has answered to the run's calls is halved, where an upstream error has cut it.
    pub halvings: u32,
}

/// What files are called that code can read: as they lie in the folder, or will when code is first run.
fn names_of_inputs(files: &[CodeFile], inputs: &[Input]) -> Vec<String> {
    let name = |input: &Input| {
        let known = files.iter().find(|file| file.is_input && file.file_id == input.file_id);
        known.map_or_else(|| name_of(&input.filename), |file| file.name.clone())
    };
    inputs.iter().map(name).collect()
}

/// Builds the prompt of the next turn, unless the run asks for what cannot be.
pub async fn build(
    files: &files::Context,
    leased: &LeasedRun,
    bounds: &Bounds<'_>,
    code_refusal: Option<&str>,
) -> Result<Result<Prompt, Stop>, Error> {
    let (db, run) = (&files.db, &leased.run);
    let Said { messages: turns, mut sources, images: drawn } =
        said_by_run(db, leased, bounds.halvings).await?;
    let mut readable = Vec::new();
    if code_interpreter::is_in(&run.tools) {
        let files = code_files::of_thread(db, &leased.project, &run.thread_id).await?;
        readable = names_of_inputs(&files, &code_files::inputs(db, leased).await?);
        sources.add_files(files);
    }
    let offer = match tools::offer(leased, code_refusal, &readable) {
        Ok(offer) => offer,
        Err(stop) => return Ok(Err(stop)),
    };
    let left = tokens_left(leased);
    let reply = left.completion.unwrap_or(i64::MAX).min(bounds.window / REPLY_SHARE);
    let room = bounds.window - reply;
    let limit = left.prompt.map_or(room, |prompt| room.min(prompt));
    let mut fixed_texts = fixed_texts(run, &turns, &offer);
    let budget = Budget::new(limit, bounds.history_limit, &fixed_texts);

    let history = read_history(db, leased, budget).await?;
    let images = images::load(files, &leased.project, &history).await?;
    let exceeds_maximum = left.prompt.is_some_and(|most| exceeds(most, &fixed_texts, &history));
    if file_search::settings(&run.tools).is_none() && !code_interpreter::is_in(&run.tools) {
        fixed_texts = Vec::new();
    }
    let mut conversation = Vec::with_capacity(history.len() + turns.len() + 1);
    if let Some(instructions) = run.instructions.as_ref().filter(|text| !text.is_empty()) {
        conversation.push(json!({ "role": "system", "content": instructions }));
    }
    conversation
        .extend(history.iter().rev().map(|message| chat_message(message.role, &message.content, &images)));
    conversation.extend(turns);
    if conversation.is_empty() {
        conversation.push(json!({ "role": "system", "content": NO_INSTRUCTIONS }));
    }
    let body = body(run, bounds.model, conversation, &offer, left.completion);
    Ok(Ok(Prompt { body, exceeds_maximum, sources, images: drawn, history, room, fixed_texts }))
}

/// What is left of the run's maxima, in tokens.
pub struct TokensLeft {
    pub prompt: Option<i64>,
    pub completion: Option<i64>,
}

/// The maxima are over the whole run.
pub fn tokens_left(leased: &LeasedRun) -> TokensLeft {
    let run = &leased.run;
    TokensLeft {
        prompt: run.max_prompt_tokens.map(|max| max - leased.usage.prompt),
        completion: run.max_completion_tokens.map(|max| max - leased.usage.completion),
    }
}

/// What the prompt holds beside the history.
fn fixed_texts(run: &Run, turns: &[Value], offer: &Offer) -> Vec<String> {
    let instructions = run.instructions.clone().into_iter();
    instructions.chain(turns.iter().chain(&offer.tools).map(Value::to_string)).collect()
}

/// The history, newest first.
async fn read_history(
    db: &PgPool,
    leased: &LeasedRun,
    mut budget: Budget<'_>,
) -> Result<Vec<HistoryMessage>, Error> {
    let run = &leased.run;
    let most = match run.truncation_strategy.kind {
        TruncationKind::LastMessages => run.truncation_strategy.last_messages.unwrap_or(i64::MAX),
        TruncationKind::Auto => i64::MAX,
    };
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut kept: Vec<HistoryMessage> = Vec::new();
    let mut below = Uuid::max();
    'pages: while kept.len() < most {
        let limit = PAGE.min(i64::try_from(most - kept.len()).unwrap_or(i64::MAX));
        let page = history::page(db, &run.thread_id, &run.id, below, limit).await?;
        let is_last = page.len() < usize::try_from(limit).unwrap_or(0);
        for mut message in page {
            below = message.ord;
            citations::strip_markers(&mut message.content);
            if message.role == Role::Assistant {
                // Models are not shown what they have drawn, so it takes no room.
                message.content.retain(|part| !matches!(part, ContentPart::ImageFile { .. }));
            }
            if message.content.is_empty() {
                continue;
            }
            if !budget.takes(&message, &kept) {
                break 'pages;
            }
            kept.push(message);
        }
        if is_last {
            break;
        }
    }
    if !kept.iter().any(|message| message.role == Role::User)
        && let Some(newest) = history::newest_of_user(db, &run.thread_id).await?
    {
        // It stays although it is over the budget; the upstream judges. What is newer stays before it.
        kept.push(newest);
    }
    Ok(kept)
}

/// Whether a prompt takes more tokens than this. What stands beside the history and the newest message of
/// the user are never cut, so it may.
fn exceeds(most: i64, fixed: &[String], history: &[HistoryMessage]) -> bool {
    let fixed_tokens =
        |measure: fn(&str) -> i64| tokens::PER_MESSAGE + fixed.iter().map(|text| measure(text)).sum::<i64>();
    let bounds = history.iter().map(|message| tokens::of_content(&message.content, tokens::at_most));
    fixed_tokens(tokens::at_most) + bounds.sum::<i64>() > most
        && fixed_tokens(tokens::count) + history.iter().map(tokens::of_message).sum::<i64>() > most
}

/// What the prompt may cost. Lengths in bytes bound the tokens from above, so that nothing is counted
/// (and the vocabulary not even loaded) until they no longer fit; then all is counted exactly.
struct Budget<'a> {
    /// Tokens of the whole prompt, and of its history alone.
    limit: i64,
    history_limit: i64,
    fixed_texts: &'a [String],
    fixed: i64,
    used: i64,
    exact: bool,
}

impl<'a> Budget<'a> {
    fn new(limit: i64, history_limit: Option<i64>, fixed_texts: &'a [String]) -> Self {
        let fixed = tokens::PER_MESSAGE + fixed_texts.iter().map(|text| tokens::at_most(text)).sum::<i64>();
        Self {
            limit,
            history_limit: history_limit.unwrap_or(i64::MAX),
            fixed_texts,
            fixed,
            used: 0,
            exact: false,
        }
    }

    /// Whether the message fits as well, and if so takes its tokens.
    fn takes(&mut self, message: &HistoryMessage, kept: &[HistoryMessage]) -> bool {
        if !self.exact {
            let bound = self.used + tokens::of_content(&message.content, tokens::at_most);
            if self.fits(bound) {
                self.used = bound;
                return true;
            }
            self.exact = true;
            self.fixed =
                tokens::PER_MESSAGE + self.fixed_texts.iter().map(|text| tokens::count(text)).sum::<i64>();
            self.used = kept.iter().map(tokens::of_message).sum();
        }
        self.used += tokens::of_message(message);
        self.fits(self.used)
    }

    fn fits(&self, history: i64) -> bool {
        history <= self.history_limit && self.fixed.saturating_add(history) <= self.limit
    }
}

/// A message as Chat Completions wants it: a text, or parts where there are images.
fn chat_message(role: Role, content: &[ContentPart], images: &Images) -> Value {
    let only_text =
        content.iter().all(|part| matches!(part, ContentPart::Text { .. } | ContentPart::Refusal { .. }));
    if only_text || role == Role::Assistant {
        let texts: Vec<&str> = content.iter().filter_map(text_of).collect();
        return json!({ "role": role.as_str(), "content": texts.join("\n") });
    }
    let parts: Vec<Value> = content
        .iter()
        .filter_map(|part| match part {
            ContentPart::ImageUrl { image_url } => {
                Some(json!({ "type": "image_url", "image_url": { "url": image_url.url, "detail": image_url.detail } }))
            }
            ContentPart::ImageFile { image_file } => Some(match images.data_url(&image_file.file_id) {
                Some(url) => {
                    json!({ "type": "image_url", "image_url": { "url": url, "detail": image_file.detail } })
                }
                None => json!({ "type": "text", "text": "[An image that is no longer available.]" }),
            }),
            part => Some(json!({ "type": "text", "text": text_of(part)? })),
        })
        .collect();
    json!({ "role": role.as_str(), "content": parts })
}

fn text_of(part: &ContentPart) -> Option<&str> {
    match part {
        ContentPart::Text { text } => Some(&text.value),
        ContentPart::Refusal { refusal } => Some(refusal),
        ContentPart::ImageFile { .. } | ContentPart::ImageUrl { .. } => None,
    }
}

/// What a run has said, and found in files.
struct Said {
    messages: Vec<Value>,
    sources: Sources,
    images: Vec<String>,
}

/// What the run has said and called in the turns that are stored whole. The text and the calls of one
/// turn are one message, as the model wrote them.
async fn said_by_run(db: &PgPool, leased: &LeasedRun, halvings: u32) -> Result<Said, Error> {
    let form = Form::of(leased.dialect);
    if leased.turns == 0 {
        return Ok(Said { messages: Vec::new(), sources: Sources::of(form, &[]), images: Vec::new() });
    }
    let steps = run_steps::of_turns_below(db, &leased.run.id, leased.turns).await?;
    let texts = history::contents_of_run(db, &leased.run.thread_id, &leased.run.id).await?;
    let sources = Sources::of(form, &steps);
    let mut said: Vec<Value> = Vec::new();
    let (mut text_turn, mut images) = (None, Vec::new());
    for step in steps {
        match &step.step_details {
            StepDetails::MessageCreation { message_creation } => {
                let content = texts.get(&message_creation.message_id).map_or(&[][..], Vec::as_slice);
                said.push(chat_message(Role::Assistant, content, &Images::default()));
                text_turn = Some(step.turn);
                images.clear();
            }
            StepDetails::ToolCalls { tool_calls } => {
                if text_turn != Some(step.turn) {
                    said.push(json!({ "role": "assistant", "content": null }));
                }
                let (calls, outputs) = exchange(tool_calls, &step.model_calls, halvings);
                if let Some(message) = said.last_mut() {
                    message["tool_calls"] = Value::Array(calls);
                }
                said.extend(outputs);
                images.extend(tool_calls.iter().flat_map(images_of));
            }
        }
    }
    Ok(Said { messages: said, sources, images })
}

/// The files of the images that a call has drawn.
fn images_of(call: &ToolCall) -> impl Iterator<Item = String> {
    let outputs = match &call.call {
        ToolCallKind::CodeInterpreter { code_interpreter } => code_interpreter.outputs.as_slice(),
        _ => &[],
    };
    outputs.iter().filter_map(|output| match output {
        CodeInterpreterOutput::Image { image } => Some(image.file_id.clone()),
        CodeInterpreterOutput::Logs { .. } => None,
    })
}

/// The calls of a step as the model made them, and their outputs as tool messages. Those of this server may be halved;
/// what the client has submitted is its own to bound.
fn exchange(shown: &[ToolCall], calls: &[ModelCall], halvings: u32) -> (Vec<Value>, Vec<Value>) {
    let calls = calls.iter().zip(shown).map(|(call, shown)| {
        let submitted = match &shown.call {
            ToolCallKind::Function { function } => function.output.as_deref(),
            ToolCallKind::CodeInterpreter { .. } | ToolCallKind::FileSearch { .. } => None,
        };
        let answered = call.output.as_deref().map(|output| halved(output, halvings));
        let output = answered.or(submitted).unwrap_or_default();
        let arguments = match &shown.call {
            ToolCallKind::CodeInterpreter { code_interpreter } => {
                tools::code_interpreter::arguments(&call.arguments, &code_interpreter.input)
            }
            _ => function::arguments(&call.arguments),
        };
        let function = json!({ "name": call.name, "arguments": arguments });
        let made = json!({ "id": call.id, "type": "function", "function": function });
        (made, json!({ "role": "tool", "tool_call_id": call.id, "content": output }))
    });
    calls.unzip()
}

/// The first half of a text, or the first half of that, and so on; the best passages stand first. A short text stays
/// whole.
fn halved(output: &str, halvings: u32) -> &str {
    if halvings == 0 || tokens::at_most(output) <= SHORT_OUTPUT {
        return output;
    }
    tokens::beginning(output, tokens::count(output) >> halvings)
}

fn body(
    run: &Run,
    model: &str,
    conversation: Vec<Value>,
    offer: &Offer,
    max_tokens: Option<i64>,
) -> Map<String, Value> {
    let mut body = Map::new();
    let mut set = |name: &str, value: Value| body.insert(name.to_owned(), value);
    set("model", json!(model));
    set("messages", Value::Array(conversation));
    set("stream", json!(true));
    set("stream_options", json!({ "include_usage": true }));
    if let Some(temperature) = run.temperature {
        set("temperature", json!(temperature));
    }
    if let Some(top_p) = run.top_p {
        set("top_p", json!(top_p));
    }
    if let Some(max_tokens) = max_tokens {
        set("max_tokens", json!(max_tokens));
    }
    if let Some(effort) = run.reasoning_effort {
        set("reasoning_effort", json!(effort));
    }
    match &run.response_format {
        ResponseFormat::Auto | ResponseFormat::Text => {}
        format => {
            set("response_format", json!(format));
        }
    }
    if !offer.tools.is_empty() {
        set("tools", json!(offer.tools));
        if offer.must_call {
            set("tool_choice", json!("required"));
        }
        if !run.parallel_tool_calls {
            set("parallel_tool_calls", json!(false));
        }
    }
    body
}
