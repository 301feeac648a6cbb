//! Runs that are streamed: typed events, each of which must fit its type.

use async_openai::traits::EventType;
use async_openai::types::assistants::{
    AssistantEventStream, AssistantStreamEvent, CreateThreadAndRunRequest, CreateThreadRequest,
    DeltaStepDetails, MessageDeltaContent, RunObject, RunStatus, RunStepDeltaStepDetailsToolCalls,
};
use futures_util::StreamExt;

use crate::harness::{
    GREETING, SCRIPTED_TEXT, Scene, TWO_CALLS, calls_of, function, outputs_for, text_of, user_says,
};
use crate::runs::assert_outputs;

const RUN_START: [&str; 3] = ["thread.run.created", "thread.run.queued", "thread.run.in_progress"];
const TEXT_STEP: [&str; 7] = [
    "thread.run.step.created",
    "thread.run.step.in_progress",
    "thread.message.created",
    "thread.message.in_progress",
    "thread.message.delta",
    "thread.message.completed",
    "thread.run.step.completed",
];
/// The client keeps `done` to itself.
const RUN_END: [&str; 1] = ["thread.run.completed"];

async fn events_of(mut stream: AssistantEventStream) -> Vec<AssistantStreamEvent> {
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        events.push(event.expect("an event of its type"));
    }
    events
}

/// The names of the events, a row of deltas as one; a real model that hit the token limit as if it had not.
fn order_of(scene: &Scene, events: &[AssistantStreamEvent]) -> Vec<&'static str> {
    let mut names: Vec<&str> = events.iter().map(EventType::event_type).collect();
    if !scene.is_scripted {
        for name in &mut names {
            *name = match *name {
                "thread.message.incomplete" => "thread.message.completed",
                "thread.run.incomplete" => "thread.run.completed",
                name => name,
            };
        }
    }
    names.dedup_by(|next, previous| next == previous && next.ends_with(".delta"));
    names
}

/// The last run that a stream told of.
fn last_run(events: &[AssistantStreamEvent]) -> RunObject {
    use AssistantStreamEvent::*;
    let mut runs = events.iter().rev().filter_map(|event| match event {
        ThreadRunCompleted(run) | ThreadRunIncomplete(run) | ThreadRunRequiresAction(run) => Some(run),
        ThreadRunCancelled(run) | ThreadRunInProgress(run) => Some(run),
        _ => None,
    });
    runs.next().expect("a run").clone()
}

/// The text of the deltas is that of the message in which they end.
fn assert_text(scene: &Scene, events: &[AssistantStreamEvent], expected: &str) {
    let mut text = String::new();
    for event in events {
        match event {
            AssistantStreamEvent::ThreadMessageDelta(delta) => {
                for part in delta.delta.content.iter().flatten() {
                    let MessageDeltaContent::Text(part) = part else { panic!("{part:?}") };
                    text.push_str(
                        part.text.as_ref().and_then(|text| text.value.as_deref()).unwrap_or_default(),
                    );
                }
            }
            AssistantStreamEvent::ThreadMessageCompleted(message)
            | AssistantStreamEvent::ThreadMessageIncomplete(message) => assert_eq!(text_of(message), text),
            _ => {}
        }
    }
    if scene.is_scripted {
        assert_eq!(text, expected);
    }
}

pub async fn streamed_text(scene: &Scene) {
    let assistant = scene.assistant(Vec::new()).await;
    let thread = scene.thread(GREETING).await;
    let threads = scene.client.threads();
    let stream = threads.runs(&thread.id).create_stream(scene.run_of(&assistant)).await.expect("a stream");
    let events = events_of(stream).await;
    assert_eq!(order_of(scene, &events), [&RUN_START[..], &TEXT_STEP, &RUN_END].concat());
    assert_text(scene, &events, SCRIPTED_TEXT);
    let run = last_run(&events);
    scene.assert_ended(&run);
    assert_eq!(threads.runs(&thread.id).retrieve(&run.id).await.expect("the run"), run);
    scene.delete(&assistant).await;
}

pub async fn streamed_thread_and_text(scene: &Scene) {
    let assistant = scene.assistant(Vec::new()).await;
    let thread = CreateThreadRequest { messages: Some(vec![user_says(GREETING)]), ..Default::default() };
    let request = CreateThreadAndRunRequest {
        assistant_id: assistant.id.clone(),
        thread: Some(thread),
        max_completion_tokens: Some(64),
        ..Default::default()
    };
    let stream = scene.client.threads().create_and_run_stream(request).await.expect("a stream");
    let events = events_of(stream).await;
    let order = [&["thread.created"], &RUN_START[..], &TEXT_STEP, &RUN_END].concat();
    assert_eq!(order_of(scene, &events), order);
    assert_text(scene, &events, SCRIPTED_TEXT);
    scene.delete(&assistant).await;
}

pub async fn streamed_calls(scene: &Scene) {
    let assistant = scene.assistant(vec![function("get_weather"), function("get_time")]).await;
    let thread = scene.thread(TWO_CALLS).await;
    let threads = scene.client.threads();
    let runs = threads.runs(&thread.id);
    let events = events_of(runs.create_stream(scene.run_of(&assistant)).await.expect("a stream")).await;
    let step = ["thread.run.step.created", "thread.run.step.in_progress", "thread.run.step.delta"];
    let suspended = ["thread.run.requires_action"];
    assert_eq!(order_of(scene, &events), [&RUN_START[..], &step, &suspended].concat());
    let run = last_run(&events);
    let arguments: Vec<String> = calls_of(&run).iter().map(|call| call.function.arguments.clone()).collect();
    assert_eq!(arguments_of(&events), arguments);

    let stream = runs.submit_tool_outputs_stream(&run.id, outputs_for(&run)).await.expect("a stream");
    let events = events_of(stream).await;
    let resumed = ["thread.run.step.completed", "thread.run.queued", "thread.run.in_progress"];
    assert_eq!(order_of(scene, &events), [&resumed[..], &TEXT_STEP, &RUN_END].concat());
    let AssistantStreamEvent::ThreadRunStepCompleted(step) = &events[0] else { panic!("{events:#?}") };
    assert_outputs(step, &[Some("sunny"), Some("noon")]);
    assert_text(scene, &events, "Tool said: sunny, noon");
    scene.assert_ended(&last_run(&events));
    scene.delete(&assistant).await;
}

/// The arguments of each call, put together from the deltas.
fn arguments_of(events: &[AssistantStreamEvent]) -> Vec<String> {
    let mut arguments: Vec<String> = Vec::new();
    for event in events {
        let AssistantStreamEvent::ThreadRunStepDelta(delta) = event else { continue };
        let DeltaStepDetails::ToolCalls(details) = &delta.delta.step_details else { panic!("{delta:?}") };
        for call in details.tool_calls.iter().flatten() {
            let RunStepDeltaStepDetailsToolCalls::Function(call) = call else { panic!("{call:?}") };
            let index = call.index as usize;
            if index == arguments.len() {
                assert!(call.id.is_some(), "the first delta of a call has its id: {call:?}");
                arguments.push(String::new());
            }
            let fragment = call.function.as_ref().and_then(|function| function.arguments.as_deref());
            arguments[index].push_str(fragment.unwrap_or_default());
        }
    }
    arguments
}

pub async fn streamed_cancelled(scene: &Scene) {
    let assistant = scene.assistant(Vec::new()).await;
    let thread = scene.thread("Be slow.").await;
    let threads = scene.client.threads();
    let runs = threads.runs(&thread.id);
    let mut stream = runs.create_stream(scene.run_of(&assistant)).await.expect("a stream");
    let mut events = Vec::new();
    let mut is_asked = false;
    while let Some(event) = stream.next().await {
        events.push(event.expect("an event of its type"));
        if !is_asked && events.last().is_some_and(|event| event.event_type() == "thread.message.delta") {
            is_asked = true;
            runs.cancel(&last_run(&events).id).await.expect("cancelled");
        }
    }
    let end = [
        "thread.run.cancelling",
        "thread.message.incomplete",
        "thread.run.step.cancelled",
        "thread.run.cancelled",
    ];
    let names: Vec<&str> =
        events.iter().map(EventType::event_type).filter(|name| !name.ends_with(".delta")).collect();
    assert_eq!(names, [&RUN_START[..], &TEXT_STEP[..4], &end].concat());
    assert_eq!(last_run(&events).status, RunStatus::Cancelled);
    scene.delete(&assistant).await;
}
