//! Runs that are polled, and their steps.

use async_openai::traits::RequestOptionsBuilder;
use async_openai::types::assistants::{
    AssistantToolType, AssistantsApiToolChoiceOption, AssistantsNamedToolChoice, CreateRunRequest,
    CreateThreadAndRunRequest, CreateThreadRequest, FunctionName, ModifyRunRequest, RunStatus,
    RunStepDetailsToolCalls, RunStepObject, StepDetails, TruncationObject, TruncationObjectType,
};

use crate::harness::{
    GREETING, SCRIPTED_TEXT, Scene, TWO_CALLS, calls_of, function, metadata, outputs_for, refused, user_says,
};

const INCLUDE: [(&str, &str); 1] =
    [("include[]", "step_details.tool_calls[*].file_search.results[*].content")];

pub async fn polled(scene: &Scene) {
    let assistant = scene.assistant(Vec::new()).await;
    let thread = scene.thread(GREETING).await;
    let threads = scene.client.threads();
    let runs = threads.runs(&thread.id);
    let run = runs.create(scene.run_of(&assistant)).await.expect("a run");
    assert_eq!((run.object.as_str(), &run.status), ("thread.run", &RunStatus::Queued));
    assert_eq!(run.tool_choice, Some(AssistantsApiToolChoiceOption::Auto));
    let run = scene.wait(&run).await;
    scene.assert_said(&run, SCRIPTED_TEXT).await;
    assert_eq!(runs.list().await.expect("the runs").data.as_slice(), std::slice::from_ref(&run));

    let steps = steps_of(scene, &run.thread_id, &run.id).await;
    let [step] = &steps[..] else { panic!("{steps:#?}") };
    assert_eq!((&step.status, step.object.as_str()), (&RunStatus::Completed, "thread.run.step"));
    let StepDetails::MessageCreation(details) = &step.step_details else { panic!("{step:#?}") };
    assert_eq!(details.message_creation.message_id, scene.answers(&run).await[0].id);
    let retrieved = runs.steps(&run.id).query(&INCLUDE).expect("a query").retrieve(&step.id).await;
    assert_eq!(&retrieved.expect("the step"), step);

    let change = ModifyRunRequest { metadata: Some(metadata("reviewed", "yes")) };
    let updated = runs.update(&run.id, change).await.expect("updated");
    assert_eq!(updated.metadata, Some(metadata("reviewed", "yes")));
    scene.delete(&assistant).await;
}

async fn steps_of(scene: &Scene, thread_id: &str, run_id: &str) -> Vec<RunStepObject> {
    let threads = scene.client.threads();
    let runs = threads.runs(thread_id);
    let steps = runs.steps(run_id).query(&[("order", "asc")]).expect("a query");
    steps.list().await.expect("the steps").data
}

pub async fn overridden(scene: &Scene) {
    let assistant = scene.assistant(vec![function("get_weather")]).await;
    let thread = scene.thread("I will be followed.").await;
    let strategy = TruncationObject { r#type: TruncationObjectType::LastMessages, last_messages: Some(2) };
    let request = CreateRunRequest {
        model: Some(scene.model.clone()),
        instructions: Some("Be brief.".to_owned()),
        additional_instructions: Some("Be kind.".to_owned()),
        additional_messages: Some(vec![user_says(GREETING)]),
        tools: Some(Vec::new()),
        metadata: Some(metadata("from", "run")),
        temperature: Some(0.5),
        top_p: Some(0.5),
        max_prompt_tokens: Some(512),
        max_completion_tokens: Some(64),
        truncation_strategy: Some(strategy.clone()),
        tool_choice: Some(AssistantsApiToolChoiceOption::None),
        parallel_tool_calls: Some(false),
        ..scene.run_of(&assistant)
    };
    let threads = scene.client.threads();
    let run = threads.runs(&thread.id).create(request).await.expect("a run");
    assert_eq!((run.max_prompt_tokens, run.max_completion_tokens), (Some(512), Some(64)));
    assert_eq!((run.temperature, run.top_p, run.parallel_tool_calls), (Some(0.5), Some(0.5), false));
    assert_eq!(run.truncation_strategy, Some(strategy));
    assert_eq!(run.tool_choice, Some(AssistantsApiToolChoiceOption::None));
    assert!(run.tools.is_empty() && run.instructions.starts_with("Be brief."), "{run:#?}");
    scene.assert_said(&scene.wait(&run).await, SCRIPTED_TEXT).await;
    scene.delete(&assistant).await;
}

pub async fn created_with_its_thread(scene: &Scene) {
    let assistant = scene.assistant(Vec::new()).await;
    let request = CreateThreadAndRunRequest {
        assistant_id: assistant.id.clone(),
        thread: Some(CreateThreadRequest {
            messages: Some(vec![user_says(GREETING)]),
            metadata: Some(metadata("made", "with a run")),
            ..Default::default()
        }),
        max_completion_tokens: Some(64),
        ..Default::default()
    };
    let run = scene.client.threads().create_and_run(request).await.expect("a run");
    let thread = scene.client.threads().retrieve(&run.thread_id).await.expect("its thread");
    assert_eq!(thread.metadata, Some(metadata("made", "with a run")));
    scene.assert_said(&scene.wait(&run).await, SCRIPTED_TEXT).await;
    scene.delete(&assistant).await;
}

pub async fn forced_call(scene: &Scene) {
    let assistant = scene.assistant(vec![function("get_weather")]).await;
    let named = AssistantsNamedToolChoice {
        r#type: AssistantToolType::Function,
        function: Some(FunctionName { name: "get_weather".to_owned() }),
    };
    for choice in [AssistantsApiToolChoiceOption::Named(named), AssistantsApiToolChoiceOption::Required] {
        let thread = scene.thread("What is the weather in Paris right now?").await;
        let threads = scene.client.threads();
        let request = CreateRunRequest { tool_choice: Some(choice.clone()), ..scene.run_of(&assistant) };
        let run = threads.runs(&thread.id).create(request).await.expect("a run");
        assert_eq!(run.tool_choice, Some(choice));
        let run = scene.wait(&run).await;
        assert_eq!(calls_of(&run)[0].function.name, "get_weather");
        scene.finish(run).await;
    }
    scene.delete(&assistant).await;
}

pub async fn calls(scene: &Scene) {
    let assistant = scene.assistant(vec![function("get_weather"), function("get_time")]).await;
    let thread = scene.thread(TWO_CALLS).await;
    let threads = scene.client.threads();
    let runs = threads.runs(&thread.id);
    let run = scene.wait(&runs.create(scene.run_of(&assistant)).await.expect("a run")).await;
    let names: Vec<&str> = calls_of(&run).iter().map(|call| call.function.name.as_str()).collect();
    assert_eq!(names, ["get_weather", "get_time"]);
    assert_outputs(&steps_of(scene, &thread.id, &run.id).await[0], &[None, None]);

    let mut some = outputs_for(&run);
    some.tool_outputs.truncate(1);
    refused(runs.submit_tool_outputs(&run.id, some).await, 400, "Expected tool outputs for call_ids [");
    let resumed = runs.submit_tool_outputs(&run.id, outputs_for(&run)).await.expect("the outputs are taken");
    assert!(resumed.status == RunStatus::Queued && resumed.required_action.is_none(), "{resumed:#?}");
    let run = scene.wait(&resumed).await;
    scene.assert_said(&run, "Tool said: sunny, noon").await;
    assert_outputs(&steps_of(scene, &thread.id, &run.id).await[0], &[Some("sunny"), Some("noon")]);
    scene.delete(&assistant).await;
}

#[track_caller]
pub fn assert_outputs(step: &RunStepObject, expected: &[Option<&str>]) {
    let StepDetails::ToolCalls(details) = &step.step_details else { panic!("{step:#?}") };
    let outputs: Vec<Option<&str>> = details
        .tool_calls
        .iter()
        .map(|call| match call {
            RunStepDetailsToolCalls::Function(call) => call.function.output.as_deref(),
            other => panic!("no function: {other:?}"),
        })
        .collect();
    assert_eq!(outputs, expected);
}

pub async fn cancelled(scene: &Scene) {
    let assistant = scene.assistant(vec![function("get_weather")]).await;
    let thread = scene.thread("call get_weather").await;
    let threads = scene.client.threads();
    let runs = threads.runs(&thread.id);
    let run = scene.wait(&runs.create(scene.run_of(&assistant)).await.expect("a run")).await;
    calls_of(&run);
    let busy = threads.messages(&thread.id).create(user_says("And?")).await;
    refused(busy, 400, &format!("Can't add messages to {} while a run {} is active.", thread.id, run.id));
    // This client cancels with `null` for a body.
    let cancelling = runs.cancel(&run.id).await.expect("cancelled");
    assert_eq!(cancelling.status, RunStatus::Cancelling);
    let run = scene.wait(&cancelling).await;
    assert!(run.status == RunStatus::Cancelled && run.cancelled_at.is_some(), "{run:#?}");
    let steps = steps_of(scene, &thread.id, &run.id).await;
    assert!(steps.iter().all(|step| step.status == RunStatus::Cancelled), "{steps:#?}");
    refused(runs.cancel(&run.id).await, 400, "Cannot cancel run with status 'cancelled'.");
    scene.delete(&assistant).await;
}

pub async fn refusals(scene: &Scene) {
    let thread = scene.thread(GREETING).await;
    let threads = scene.client.threads();
    let runs = threads.runs(&thread.id);
    let nobody = format!("asst_{}", "0".repeat(24));
    let request = CreateRunRequest { assistant_id: nobody.clone(), ..Default::default() };
    refused(runs.create(request.clone()).await, 404, &format!("No assistant found with id '{nobody}'."));
    let stream = runs.create_stream(request).await.map(|_| "a stream");
    refused(stream, 404, &format!("No assistant found with id '{nobody}'."));
    let request = CreateRunRequest { assistant_id: "x".to_owned(), ..Default::default() };
    let error = refused(runs.create(request).await, 400, "Expected an ID that begins with 'asst'.");
    assert_eq!(error.api_error.param.as_deref(), Some("assistant_id"));
    assert_eq!(error.api_error.code.as_deref(), Some("invalid_value"));
}
