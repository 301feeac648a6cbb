//! A model that reads in the prompt what it is to say, so that the same question has the same answer
//! however often and by whichever node it is asked, and that fails now and then as its seed decides.
//!
//! The newest message of the user holds a [`Plan`]; the turn is how many replies with calls follow it.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::{Model, Reply};

/// What a run is to do: some turns with calls, then a text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Plan {
    /// Names the message that holds it; no two have the same.
    pub id: String,
    /// The number of calls in each turn before the last.
    pub calls: Vec<usize>,
    /// Whether a text stands before the calls of a turn.
    pub preamble: bool,
    /// Words of the last text.
    pub words: usize,
    /// Milliseconds before each piece of a reply.
    pub pace: u64,
    /// Whether the upstream refuses the prompt.
    pub refused: bool,
}

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls: Vec<String> = self.calls.iter().map(usize::to_string).collect();
        let Self { id, preamble, words, pace, refused, .. } = self;
        let calls = calls.join(",");
        write!(
            formatter,
            "plan {id} calls={calls} preamble={preamble} words={words} pace={pace} refused={refused}"
        )
    }
}

impl FromStr for Plan {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut words = text.strip_prefix("plan ").ok_or(())?.split(' ');
        let id = words.next().ok_or(())?.to_owned();
        let fields: HashMap<&str, &str> = words.filter_map(|word| word.split_once('=')).collect();
        let field = |name: &str| fields.get(name).copied().ok_or(());
        let calls = field("calls")?.split(',').filter(|count| !count.is_empty());
        Ok(Self {
            id,
            calls: calls.map(|count| count.parse().map_err(|_| ())).collect::<Result<_, _>>()?,
            preamble: field("preamble")? == "true",
            words: field("words")?.parse().map_err(|_| ())?,
            pace: field("pace")?.parse().map_err(|_| ())?,
            refused: field("refused")? == "true",
        })
    }
}

impl Plan {
    /// The messages that a completed run has written, in their order.
    pub fn texts(&self) -> Vec<String> {
        let before = (0..self.calls.len()).filter(|_| self.preamble).map(|turn| self.before_calls(turn));
        before.chain([self.last_text()]).collect()
    }

    fn before_calls(&self, turn: usize) -> String {
        format!("{} looks something up, turn {turn}.", self.id)
    }

    pub fn last_text(&self) -> String {
        (0..self.words).fold(format!("{} says:", self.id), |text, number| format!("{text} word{number}"))
    }

    /// The keys that the calls of a turn ask for.
    pub fn keys(&self, turn: usize) -> Vec<String> {
        (0..self.calls[turn]).map(|call| format!("{}/{turn}/{call}", self.id)).collect()
    }
}

/// What a client answers to the call for this key.
pub fn output_of(key: &str) -> String {
    format!("what is known of {key}")
}

/// How the upstream fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lie {
    HangsBeforeTheFirstToken,
    HangsInTheMiddle,
    CutsTheConnection,
    SendsBadJson,
    EndsWithoutAFinish,
    AnswersAnErrorWith200,
    Answers500,
    Answers429,
    LeavesOutTheUsage,
}

impl Lie {
    pub const ALL: &[Lie] = &[
        Lie::HangsBeforeTheFirstToken,
        Lie::HangsInTheMiddle,
        Lie::CutsTheConnection,
        Lie::SendsBadJson,
        Lie::EndsWithoutAFinish,
        Lie::AnswersAnErrorWith200,
        Lie::Answers500,
        Lie::Answers429,
        Lie::LeavesOutTheUsage,
    ];

    pub const fn text(self) -> &'static str {
        match self {
            Lie::HangsBeforeTheFirstToken => "upstream hangs before the first token",
            Lie::HangsInTheMiddle => "upstream hangs in the middle of a reply",
            Lie::CutsTheConnection => "upstream cuts the connection",
            Lie::SendsBadJson => "upstream sends bad JSON",
            Lie::EndsWithoutAFinish => "upstream ends a stream without a finish",
            Lie::AnswersAnErrorWith200 => "upstream answers an error with 200",
            Lie::Answers500 => "upstream answers 500",
            Lie::Answers429 => "upstream answers 429 with Retry-After",
            Lie::LeavesOutTheUsage => "upstream leaves out the usage",
        }
    }

    /// Whether the reply counts all the same.
    pub const fn is_harmless(self) -> bool {
        matches!(self, Lie::LeavesOutTheUsage)
    }
}

/// A request that the model got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    pub plan: String,
    pub turn: usize,
    pub lie: Option<Lie>,
}

/// The model and what it noted.
#[derive(Clone)]
pub struct Planned {
    pub model: Model,
    notes: Arc<Mutex<Notes>>,
}

struct Notes {
    seed: u64,
    /// How often of a hundred requests it lies.
    percent: u32,
    /// Until then it does nothing else than this.
    outage: Option<(Instant, Lie)>,
    asks: Vec<Ask>,
    complaints: Vec<String>,
    /// Prompts without a plan.
    unplanned: Vec<String>,
}

impl Planned {
    /// Lies in so many of a hundred replies.
    pub async fn start(seed: u64, percent: u32) -> Self {
        let notes = Notes {
            seed,
            percent,
            outage: None,
            asks: Vec::new(),
            complaints: Vec::new(),
            unplanned: Vec::new(),
        };
        let notes = Arc::new(Mutex::new(notes));
        let answering = Arc::clone(&notes);
        let model = Model::answering(move |request| lock(&answering).answer(request)).await;
        Self { model, notes }
    }

    /// For as long every reply goes wrong in this way.
    pub fn begin_outage(&self, lie: Lie, length: Duration) {
        lock(&self.notes).outage = Some((Instant::now() + length, lie));
    }

    /// From now on it says nothing but the truth.
    pub fn be_honest(&self) {
        let mut notes = lock(&self.notes);
        notes.percent = 0;
        notes.outage = None;
    }

    /// All requests so far, in their order.
    pub fn asks(&self) -> Vec<Ask> {
        lock(&self.notes).asks.clone()
    }

    /// Prompts without a plan: those of threads that were deleted meanwhile.
    pub fn unplanned(&self) -> Vec<String> {
        lock(&self.notes).unplanned.clone()
    }

    /// What was wrong with requests.
    pub fn complaints(&self) -> Vec<String> {
        lock(&self.notes).complaints.clone()
    }
}

fn lock(notes: &Mutex<Notes>) -> MutexGuard<'_, Notes> {
    notes.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Notes {
    fn answer(&mut self, request: &Value) -> Reply {
        let empty = Vec::new();
        let messages = request["messages"].as_array().unwrap_or(&empty);
        let newest = messages.iter().rposition(|message| message["role"] == "user");
        let text = newest.map(|place| text_of(&messages[place]["content"])).unwrap_or_default();
        let (Some(newest), Ok(plan)) = (newest, text.parse::<Plan>()) else {
            self.unplanned.push(format!("a prompt without a plan: {request}"));
            return Reply::error(400, "There is no plan.");
        };
        let own = &messages[newest + 1..];
        let turn = own.iter().filter(|message| message["tool_calls"].is_array()).count();
        if let Err(complaint) = check_results(&plan, own) {
            self.complaints.push(format!("{complaint}: {request}"));
        }
        if turn > plan.calls.len() {
            self.complaints.push(format!("turn {turn} of {plan}"));
        }
        let lie = self.lie(&plan, turn);
        self.asks.push(Ask { plan: plan.id.clone(), turn, lie });
        if plan.refused {
            return Reply::error(400, "The plan is refused.");
        }
        reply(&plan, turn, lie)
    }

    /// What goes wrong with this reply: decided by the seed, the plan, the turn and how often it was asked.
    fn lie(&self, plan: &Plan, turn: usize) -> Option<Lie> {
        if let Some((until, lie)) = self.outage
            && Instant::now() < until
        {
            return Some(lie);
        }
        let asked = self.asks.iter().filter(|ask| ask.plan == plan.id && ask.turn == turn).count();
        let place = format!("{}/{turn}/{asked}", plan.id);
        let mut random = StdRng::seed_from_u64(place.bytes().fold(self.seed, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(17)
        }));
        random.random_ratio(self.percent, 100).then(|| Lie::ALL[random.random_range(0..Lie::ALL.len())])
    }
}

/// What came back of the calls must be what the client submitted, call by call.
fn check_results(plan: &Plan, own: &[Value]) -> Result<(), String> {
    let results: Vec<String> = own
        .iter()
        .filter(|message| message["role"] == "tool")
        .map(|message| text_of(&message["content"]))
        .collect();
    let turns = own.iter().filter(|message| message["tool_calls"].is_array()).count();
    let keys = (0..turns.min(plan.calls.len())).flat_map(|turn| plan.keys(turn));
    let expected: Vec<String> = keys.map(|key| output_of(&key)).collect();
    if results == expected { Ok(()) } else { Err(format!("the model was told {results:?} for {expected:?}")) }
}

fn reply(plan: &Plan, turn: usize, lie: Option<Lie>) -> Reply {
    let count = i64::try_from(turn).expect("few turns");
    let reply = if turn < plan.calls.len() {
        let said = if plan.preamble { plan.before_calls(turn) } else { String::new() };
        let keys = plan.keys(turn).into_iter();
        keys.fold(Reply::words(&said), |reply, key| {
            reply.then_call("lookup", &json!({ "key": key }).to_string())
        })
    } else {
        Reply::words(&plan.last_text())
    };
    let reply = reply.slowly(Duration::from_millis(plan.pace)).usage(10 + count, 5 + count);
    match lie {
        None => reply,
        Some(Lie::HangsBeforeTheFirstToken) => Reply::hang(),
        Some(Lie::HangsInTheMiddle) => reply.hang_after(2),
        Some(Lie::CutsTheConnection) => reply.cut_after(2),
        Some(Lie::SendsBadJson) => reply.then_raw("data: {bad\n\n"),
        Some(Lie::EndsWithoutAFinish) => Reply::body("text/event-stream", &unfinished(plan, turn)),
        Some(Lie::AnswersAnErrorWith200) => {
            Reply::status(200, &json!({"error": {"message": "out of memory", "type": "server_error"}}))
        }
        Some(Lie::Answers500) => Reply::error(500, "The upstream is down."),
        Some(Lie::Answers429) => Reply::rate_limited(0.2),
        Some(Lie::LeavesOutTheUsage) => reply.without_usage(),
    }
}

/// The beginning of a reply's text and no more.
fn unfinished(plan: &Plan, turn: usize) -> String {
    let text = match (turn < plan.calls.len(), plan.preamble) {
        (true, true) => plan.before_calls(turn),
        (true, false) => String::new(),
        (false, _) => plan.last_text(),
    };
    let beginning: String = text.chars().take(plan.id.len() + 2).collect();
    let delta = json!({"index": 0, "delta": {"content": beginning}, "finish_reason": null});
    format!("data: {}\n\n", json!({ "choices": [delta] }))
}

/// A message's text, be it one string or parts.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}
