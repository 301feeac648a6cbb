//! The load: clients that talk to random nodes in threads of their own, in every way that the API has,
//! and carefully: what they do not know to be done they look up.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::caller::{Caller, Outcome};
use super::streams;
use crate::support::client::id;
use crate::support::planned::{Plan, output_of};

const PAUSE: Duration = Duration::from_millis(60);

/// A client.
pub struct Actor {
    pub caller: Caller,
    pub random: StdRng,
    name: String,
    assistant: Arc<str>,
    /// Names given out so far.
    names: usize,
    /// No conversation begins after it.
    closing: Instant,
    /// All that is under way is left as it is.
    end: Instant,
}

impl Actor {
    pub fn new(
        caller: Caller,
        seed: u64,
        number: usize,
        assistant: Arc<str>,
        closing: Instant,
        end: Instant,
    ) -> Self {
        let random = StdRng::seed_from_u64(seed ^ ((number as u64 + 1) << 40));
        Self { caller, random, name: format!("c{number}"), assistant, names: 0, closing, end }
    }

    /// Talks until the round closes.
    pub async fn talk(mut self) {
        while Instant::now() < self.closing {
            // Nothing: the thread was deleted, or time is up.
            let _ = self.converse().await;
        }
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }

    fn new_name(&mut self) -> String {
        self.names += 1;
        format!("{}.{}", self.name, self.names)
    }

    fn new_plan(&mut self) -> Plan {
        let turns = [0, 0, 0, 1, 1, 2][self.random.random_range(0..6)];
        let id = self.new_name();
        let random = &mut self.random;
        Plan {
            id,
            calls: (0..turns).map(|_| random.random_range(1..=3)).collect(),
            preamble: random.random_bool(0.3),
            words: random.random_range(1..=12),
            pace: [0, 5, 40, 120][random.random_range(0..4)],
            refused: random.random_ratio(1, 40),
        }
    }

    /// Some exchanges in a new thread; `None` when there is nothing more to do in it.
    async fn converse(&mut self) -> Option<()> {
        let thread = if self.random.random_bool(0.25) {
            let (thread, run) = self.create_thread_and_run().await?;
            self.drive(&thread, &run).await?;
            thread
        } else {
            self.create_thread().await?
        };
        for _ in 0..self.random.random_range(1..=3) {
            if Instant::now() >= self.closing {
                return None;
            }
            match self.random.random_range(0..10) {
                0..=4 => self.exchange(&thread, false).await?,
                5..=7 => self.exchange(&thread, true).await?,
                _ => self.two_at_once(&thread).await?,
            }
        }
        Some(())
    }

    /// A message, sometimes one more beforehand, and a run that answers it.
    async fn exchange(&mut self, thread: &str, streams: bool) -> Option<()> {
        if self.random.random_bool(0.2) {
            self.create_message(thread).await?;
        }
        let additional = self.random.random_bool(0.3);
        if !additional {
            self.create_message(thread).await?;
        }
        let run = self.create_run(thread, streams, additional).await?;
        self.drive(thread, &run).await
    }

    /// Two runs are asked for at the same time at two nodes; each brings its own message.
    async fn two_at_once(&mut self, thread: &str) -> Option<()> {
        let path = format!("/threads/{thread}/runs");
        let (one, other) = (self.run_body(true), self.run_body(true));
        let nodes = [self.caller.any_node(&mut self.random), self.caller.any_node(&mut self.random)];
        let (first, second) = tokio::join!(
            self.caller.call(&nodes[0], Method::POST, &path, Some(&one)),
            self.caller.call(&nodes[1], Method::POST, &path, Some(&other)),
        );
        for (outcome, body) in [(first, one), (second, other)] {
            match outcome {
                Outcome::Done(run) => self.caller.ledger.run(thread, id(&run)),
                Outcome::Refused(400, message) if message.contains("already has an active run") => {}
                Outcome::Refused(status, message) => {
                    self.caller.ledger.complain(format!("two runs at once: {status} {message}"));
                }
                Outcome::Busy => self.caller.ledger.not_done(&name_of(&body)),
                Outcome::Unknown => {}
            }
        }
        for run in self.list(&path).await? {
            self.drive(thread, id(&run)).await?;
        }
        Some(())
    }

    /// What the newest page of a list holds.
    async fn list(&mut self, path: &str) -> Option<Vec<Value>> {
        let end = self.end;
        let list = self.caller.read(&mut self.random, path, || Instant::now() >= end).await?;
        Some(list["data"].as_array().expect("a list has data").clone())
    }

    async fn get(&mut self, path: &str) -> Option<Value> {
        let end = self.end;
        self.caller.read(&mut self.random, path, || Instant::now() >= end).await
    }

    /// A thread that nobody was told of is left alone.
    async fn create_thread(&mut self) -> Option<String> {
        while !self.is_over() {
            if let Outcome::Done(thread) = self.caller.post(&mut self.random, "/threads", &json!({})).await {
                self.caller.ledger.thread(id(&thread));
                return Some(id(&thread).to_owned());
            }
            sleep(PAUSE).await;
        }
        None
    }

    /// A run of a creation whose reply was lost goes on unseen; another thread is begun in its place.
    async fn create_thread_and_run(&mut self) -> Option<(String, String)> {
        while !self.is_over() {
            let plan = self.new_plan().to_string();
            let mut body = self.run_body(false);
            body["thread"] = json!({"messages": [{"role": "user", "content": plan}]});
            let outcome = self.caller.post(&mut self.random, "/threads/runs", &body).await;
            if let Outcome::Busy = outcome {
                self.caller.ledger.not_done(&name_of(&body));
            }
            if let Outcome::Done(run) = outcome {
                let thread = run["thread_id"].as_str().expect("a run has a thread").to_owned();
                self.caller.ledger.thread(&thread);
                self.caller.ledger.run(&thread, id(&run));
                return Some((thread, id(&run).to_owned()));
            }
            sleep(PAUSE).await;
        }
        None
    }

    async fn create_message(&mut self, thread: &str) -> Option<()> {
        let path = format!("/threads/{thread}/messages");
        while !self.is_over() {
            let text = self.new_plan().to_string();
            let body = json!({"role": "user", "content": text});
            match self.caller.post(&mut self.random, &path, &body).await {
                Outcome::Done(message) => {
                    self.caller.ledger.message(thread, id(&message), &text);
                    return Some(());
                }
                Outcome::Refused(404, _) => return None,
                // A run whose creation seemed lost is under way.
                Outcome::Refused(..) => self.finish_live_run(thread).await?,
                Outcome::Busy => self.caller.ledger.not_done(&text),
                Outcome::Unknown => {
                    let messages = self.list(&format!("{path}?limit=100")).await?;
                    let is_it = |message: &&Value| message["content"][0]["text"]["value"] == text.as_str();
                    if let Some(message) = messages.iter().find(is_it) {
                        self.caller.ledger.message(thread, id(message), &text);
                        return Some(());
                    }
                }
            }
            sleep(PAUSE).await;
        }
        None
    }

    async fn finish_live_run(&mut self, thread: &str) -> Option<()> {
        let runs = self.list(&format!("/threads/{thread}/runs?limit=1")).await?;
        match runs.first() {
            Some(run) => Box::pin(self.drive(thread, id(run))).await,
            None => Some(()),
        }
    }

    /// The body of a new run, by whose metadata it is found again.
    fn run_body(&mut self, additional: bool) -> Value {
        let mut body = json!({"assistant_id": &*self.assistant, "metadata": {"try": self.new_name()}});
        if additional {
            let text = self.new_plan().to_string();
            body["additional_messages"] = json!([{"role": "user", "content": text}]);
        }
        body
    }

    /// A run of this thread; its id.
    async fn create_run(&mut self, thread: &str, streams: bool, additional: bool) -> Option<String> {
        let path = format!("/threads/{thread}/runs");
        while !self.is_over() {
            let mut body = self.run_body(additional);
            body["stream"] = json!(streams);
            let node = self.caller.any_node(&mut self.random);
            let outcome = if streams {
                streams::post(&self.caller, &node, &path, &body).await
            } else {
                self.caller.call(&node, Method::POST, &path, Some(&body)).await
            };
            match outcome {
                Outcome::Done(run) => {
                    self.caller.ledger.run(thread, id(&run));
                    return Some(id(&run).to_owned());
                }
                Outcome::Refused(404, _) => return None,
                Outcome::Refused(400, message) if message.contains("already has an active run") => {
                    self.finish_live_run(thread).await?;
                }
                Outcome::Refused(status, message) => {
                    self.caller.ledger.complain(format!("a run was refused: {status} {message}"));
                    return None;
                }
                Outcome::Busy => self.caller.ledger.not_done(&name_of(&body)),
                Outcome::Unknown => {
                    let runs = self.list(&format!("{path}?limit=100")).await?;
                    if let Some(run) = runs.iter().find(|run| run["metadata"] == body["metadata"]) {
                        self.caller.ledger.run(thread, id(run));
                        return Some(id(run).to_owned());
                    }
                }
            }
            sleep(PAUSE).await;
        }
        None
    }

    /// Follows a run to its end, answers its calls, and now and then cancels it or deletes its thread.
    async fn drive(&mut self, thread: &str, run: &str) -> Option<()> {
        // Also one that was found, not answered.
        self.caller.ledger.run(thread, run);
        let path = format!("/threads/{thread}/runs/{run}");
        let some_time =
            |random: &mut StdRng| Instant::now() + Duration::from_millis(random.random_range(0..1_500));
        let mut cancel = self.random.random_ratio(1, 8).then(|| some_time(&mut self.random));
        let delete = self.random.random_ratio(1, 25).then(|| some_time(&mut self.random));
        while !self.is_over() {
            let object = self.get(&path).await?;
            match object["status"].as_str().unwrap_or_default() {
                "requires_action" => self.submit(&path, &object).await?,
                "queued" | "in_progress" | "cancelling" => {}
                _ => return Some(()),
            }
            if delete.is_some_and(|at| Instant::now() >= at) {
                return self.delete(thread).await;
            }
            if cancel.is_some_and(|at| Instant::now() >= at) {
                cancel = None;
                self.cancel(&path, run).await?;
            }
            let pause = Duration::from_millis(self.random.random_range(20..120));
            sleep(pause).await;
        }
        None
    }

    /// One try to answer the calls: whether it worked, the next look at the run tells.
    async fn submit(&mut self, path: &str, run: &Value) -> Option<()> {
        let path = format!("{path}/submit_tool_outputs");
        let mut body = answers(run);
        let node = self.caller.any_node(&mut self.random);
        if self.random.random_bool(0.3) {
            body["stream"] = json!(true);
            streams::post(&self.caller, &node, &path, &body).await;
        } else {
            self.caller.call(&node, Method::POST, &path, Some(&body)).await;
        }
        Some(())
    }

    async fn cancel(&mut self, path: &str, run: &str) -> Option<()> {
        while !self.is_over() {
            if let Some(note) = self.caller.ledger.lock().runs.get_mut(run) {
                note.cancel_asked = true;
            }
            match self.caller.post(&mut self.random, &format!("{path}/cancel"), &json!({})).await {
                Outcome::Done(_) => {
                    if let Some(note) = self.caller.ledger.lock().runs.get_mut(run) {
                        note.cancelled = true;
                    }
                    return Some(());
                }
                // It had ended.
                Outcome::Refused(..) => return Some(()),
                Outcome::Busy | Outcome::Unknown => sleep(PAUSE).await,
            }
        }
        None
    }

    async fn delete(&mut self, thread: &str) -> Option<()> {
        let note = |caller: &Caller, deleted: bool| {
            let mut entries = caller.ledger.lock();
            let note = entries.threads.entry(thread.to_owned()).or_default();
            note.delete_asked = true;
            note.deleted |= deleted;
        };
        while !self.is_over() {
            note(&self.caller, false);
            let node = self.caller.any_node(&mut self.random);
            match self.caller.call(&node, Method::DELETE, &format!("/threads/{thread}"), None).await {
                Outcome::Done(_) | Outcome::Refused(404, _) => {
                    note(&self.caller, true);
                    return None;
                }
                Outcome::Refused(status, message) => {
                    self.caller.ledger.complain(format!("DELETE thread: {status} {message}"));
                    return None;
                }
                Outcome::Busy | Outcome::Unknown => sleep(PAUSE).await,
            }
        }
        None
    }
}

/// The name by which the body of a new run has it found again.
fn name_of(body: &Value) -> String {
    body["metadata"]["try"].as_str().expect("a name").to_owned()
}

/// The outputs for the calls that a run waits for.
pub fn answers(run: &Value) -> Value {
    let calls = run["required_action"]["submit_tool_outputs"]["tool_calls"].as_array();
    let outputs: Vec<Value> = calls
        .into_iter()
        .flatten()
        .map(|call| {
            let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
            let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
            let output = output_of(arguments["key"].as_str().unwrap_or_default());
            json!({"tool_call_id": call["id"], "output": output})
        })
        .collect();
    json!({ "tool_outputs": outputs })
}
