//! What the flows share: the server, objects to work on, and checks.

use std::collections::HashMap;
use std::fmt::Debug;
use std::time::Duration;

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::error::{ApiErrorResponse, OpenAIError};
use async_openai::traits::RequestOptionsBuilder;
use async_openai::types::assistants::{
    AssistantObject, AssistantTools, CreateAssistantRequest, CreateMessageRequest, CreateRunRequest,
    CreateThreadRequest, FunctionObject, MessageContent, MessageObject, RunObject, RunStatus,
    RunToolCallObject, SubmitToolOutputsRunRequest, ThreadObject, ToolsOutputs,
};
use serde_json::{Value, json};

pub const GREETING: &str = "Say hello.";
pub const SCRIPTED_TEXT: &str = "Hello from the scripted model.";
pub const TWO_CALLS: &str = "call get_weather and call get_time";

/// A server and what answers behind it.
pub struct Scene {
    pub client: Client<OpenAIConfig>,
    pub model: String,
    pub is_scripted: bool,
}

impl Scene {
    pub fn from_environment() -> Self {
        let variable = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
        let config = OpenAIConfig::new()
            .with_api_base(variable("LOCUM_TEST_URL", "http://127.0.0.1:8080/v1"))
            .with_api_key(variable("LOCUM_TEST_KEY", "unset"))
            .with_header("OpenAI-Beta", "assistants=v2")
            .expect("a header");
        Self {
            client: Client::with_config(config),
            model: variable("LOCUM_TEST_MODEL", "gpt-4o"),
            is_scripted: variable("LOCUM_TEST_SCRIPTED", "") == "1",
        }
    }

    /// An assistant with these tools. It has instructions: a run's are no option in async-openai.
    pub async fn assistant(&self, tools: Vec<AssistantTools>) -> AssistantObject {
        let request = CreateAssistantRequest {
            name: Some("Flow".to_owned()),
            instructions: Some("Answer in one short sentence.".to_owned()),
            tools: Some(tools),
            ..self.create_assistant()
        };
        self.client.assistants().create(request).await.expect("an assistant")
    }

    pub fn create_assistant(&self) -> CreateAssistantRequest {
        CreateAssistantRequest { model: self.model.clone(), ..Default::default() }
    }

    pub async fn delete(&self, assistant: &AssistantObject) {
        self.client.assistants().delete(&assistant.id).await.expect("the assistant is deleted");
    }

    /// A thread in which a user has said this.
    pub async fn thread(&self, text: &str) -> ThreadObject {
        let request = CreateThreadRequest { messages: Some(vec![user_says(text)]), ..Default::default() };
        self.client.threads().create(request).await.expect("a thread")
    }

    /// The request of a run of few tokens: a real model is slow and may ramble.
    pub fn run_of(&self, assistant: &AssistantObject) -> CreateRunRequest {
        CreateRunRequest {
            assistant_id: assistant.id.clone(),
            max_completion_tokens: (!self.is_scripted).then_some(200),
            temperature: (!self.is_scripted).then_some(0.0),
            ..Default::default()
        }
    }

    /// The run, once it waits for nobody but its caller.
    pub async fn wait(&self, run: &RunObject) -> RunObject {
        for _ in 0..2400 {
            let run = self.client.threads().runs(&run.thread_id).retrieve(&run.id).await.expect("the run");
            if !matches!(run.status, RunStatus::Queued | RunStatus::InProgress | RunStatus::Cancelling) {
                return run;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the run {} did not end", run.id);
    }

    /// Answers the calls of a run until it has ended.
    pub async fn finish(&self, mut run: RunObject) -> RunObject {
        for _ in 0..5 {
            if run.status != RunStatus::RequiresAction {
                break;
            }
            let runs = self.client.threads();
            let runs = runs.runs(&run.thread_id);
            run = runs.submit_tool_outputs(&run.id, outputs_for(&run)).await.expect("the outputs are taken");
            run = self.wait(&run).await;
        }
        self.assert_ended(&run);
        run
    }

    /// A run that came to a good end; a real model may hit the token limit.
    #[track_caller]
    pub fn assert_ended(&self, run: &RunObject) {
        let hit_the_limit = !self.is_scripted && run.status == RunStatus::Incomplete;
        assert!(run.status == RunStatus::Completed || hit_the_limit, "{run:#?}");
        assert!(run.required_action.is_none() && run.last_error.is_none(), "{run:#?}");
        let usage = run.usage.as_ref().expect("usage");
        assert_eq!(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
    }

    /// The messages of a run, oldest first.
    pub async fn answers(&self, run: &RunObject) -> Vec<MessageObject> {
        let threads = self.client.threads();
        let query = [("run_id", run.id.as_str()), ("order", "asc")];
        let messages = threads.messages(&run.thread_id).query(&query).expect("a query");
        messages.list().await.expect("the messages").data
    }

    /// A run that ended well and wrote this at last.
    pub async fn assert_said(&self, run: &RunObject, text: &str) {
        self.assert_ended(run);
        let answers = self.answers(run).await;
        let last = answers.last().expect("an answer");
        assert_eq!((last.run_id.as_deref(), &last.thread_id), (Some(run.id.as_str()), &run.thread_id));
        if self.is_scripted {
            assert_eq!(text_of(last), text);
        }
    }
}

pub fn user_says(text: &str) -> CreateMessageRequest {
    CreateMessageRequest { content: text.into(), ..Default::default() }
}

pub fn function(name: &str) -> AssistantTools {
    let parameters =
        json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    let description = Some(format!("{name} of a city"));
    FunctionObject { name: name.to_owned(), description, parameters: Some(parameters), strict: None }.into()
}

pub fn metadata(key: &str, value: &str) -> HashMap<String, Value> {
    HashMap::from([(key.to_owned(), json!(value))])
}

/// The calls that a run waits for.
#[track_caller]
pub fn calls_of(run: &RunObject) -> &[RunToolCallObject] {
    assert_eq!(run.status, RunStatus::RequiresAction, "{run:#?}");
    let action = run.required_action.as_ref().expect("a required action");
    assert_eq!(action.r#type, "submit_tool_outputs");
    &action.submit_tool_outputs.tool_calls
}

/// An output for each call that a run waits for.
pub fn outputs_for(run: &RunObject) -> SubmitToolOutputsRunRequest {
    let output = |name: &str| if name == "get_time" { "noon" } else { "sunny" };
    let outputs = calls_of(run).iter().map(|call| ToolsOutputs {
        tool_call_id: Some(call.id.clone()),
        output: Some(output(&call.function.name).to_owned()),
    });
    SubmitToolOutputsRunRequest { tool_outputs: outputs.collect(), stream: None }
}

/// The text of a message that has one part.
#[track_caller]
pub fn text_of(message: &MessageObject) -> &str {
    match &message.content[..] {
        [MessageContent::Text(part)] => &part.text.value,
        content => panic!("not one text: {content:#?}"),
    }
}

/// The error that the API answered.
#[track_caller]
pub fn refused<T: Debug>(result: Result<T, OpenAIError>, status: u16, message: &str) -> ApiErrorResponse {
    match result {
        Err(OpenAIError::ApiError(error)) => {
            assert_eq!(error.status_code.as_u16(), status, "{error:?}");
            assert!(error.api_error.message.contains(message), "{error:?}");
            assert_eq!(error.api_error.r#type.as_deref(), Some("invalid_request_error"), "{error:?}");
            error
        }
        other => panic!("not refused: {other:?}"),
    }
}
