"""`retrieval`, as v1 has it: files of assistants and messages, and citations with a quote."""

import re

from openai import AssistantEventHandler

from flows_search import (
    FOUND,
    MARKER_V1,
    QUESTION,
    SEARCH_RUN,
    SEARCH_STEP,
    assert_announced,
    assert_kinds,
    assert_told,
    cited,
    delete_files,
    searches_of,
    two_files,
)
from harness import (
    RUN_COMPLETED,
    RUN_START,
    SCRIPTED,
    TEXT_STEP,
    an_assistant,
    answers_of,
    assert_ended,
    assert_id,
    assert_order,
    assert_stored,
    client,
    flow,
    order_of,
    plain,
    steps_of,
)

beta = client.beta
RETRIEVAL = {"type": "retrieval"}
FORCED = {"tool_choice": RETRIEVAL, **SEARCH_RUN}


def assert_retrieval(call):
    assert_id("call", call.id)
    assert plain(call) == {"id": call.id, "type": "retrieval", "retrieval": {}}, plain(call)


def assert_quoted(answer, files):
    """The answer of the scripted model cites these files, each with a quote of it."""
    found = cited(answer)
    if not SCRIPTED:
        return
    assert answer.content[0].text.value.startswith(FOUND), answer
    assert found and {file for _, file in found} == set(files), found
    for annotation in answer.content[0].text.annotations:
        assert re.fullmatch(MARKER_V1, annotation.text), annotation
        assert annotation.file_citation.quote in files[annotation.file_citation.file_id], annotation


@flow
def v1_retrieval_of_assistant_files():
    """file_ids of the assistant, later one more of beta.assistants.files"""
    foods, colors = two_files()
    contents = {file.id: client.files.content(file.id).text for file in (foods, colors)}
    with an_assistant(tools=[RETRIEVAL], file_ids=[foods.id]) as assistant:
        for question, files in ((QUESTION, [foods]), ("Which number is that of blue?", [colors])):
            if colors in files:
                beta.assistants.files.create(assistant.id, file_id=colors.id)
            run = beta.threads.create_and_run_poll(
                assistant_id=assistant.id,
                thread={"messages": [{"role": "user", "content": question}]},
                poll_interval_ms=50,
                **FORCED,
            )
            assert_ended(run, turns=2)
            assert plain(run)["tools"] == [RETRIEVAL], run
            assert foods.id in run.file_ids, run
            steps = steps_of(run)
            assert_kinds(steps)
            for call in searches_of(steps, "retrieval"):
                assert_retrieval(call)
            for answer in answers_of(run):
                assert answer.file_ids == [], answer
                assert_quoted(answer, {file.id: contents[file.id] for file in files})
    delete_files(foods, colors)


@flow
def v1_retrieval_of_message_files():
    """file_ids of messages are searched too, where the assistant has none"""
    foods, colors = two_files()
    with an_assistant(tools=[RETRIEVAL]) as assistant:
        message = {"role": "user", "content": QUESTION, "file_ids": [foods.id, colors.id]}
        run = beta.threads.create_and_run_poll(
            assistant_id=assistant.id, thread={"messages": [message]}, poll_interval_ms=50, **FORCED
        )
        assert_ended(run, turns=2)
        assert run.file_ids == [], run
        for answer in answers_of(run):
            assert_quoted(answer, {foods.id: client.files.content(foods.id).text})
    delete_files(foods, colors)


class Recorder(AssistantEventHandler):
    def __init__(self):
        super().__init__()
        self.events, self.created, self.done = [], [], []
        self.steps, self.texts, self.messages = [], [], []

    def on_event(self, event):
        self.events.append(event)

    def on_tool_call_created(self, tool_call):
        self.created.append(tool_call.id)

    def on_tool_call_done(self, tool_call):
        self.done.append(tool_call.model_copy(deep=True))

    def on_run_step_done(self, run_step):
        self.steps.append(run_step)

    def on_text_done(self, text):
        self.texts.append(text.value)

    def on_message_done(self, message):
        self.messages.append(message)


@flow
def v1_retrieval_stream():
    """The events of a search, through the stream helper"""
    foods, colors = two_files()
    with an_assistant(tools=[RETRIEVAL], file_ids=[foods.id, colors.id]) as assistant:
        thread = beta.threads.create(messages=[{"role": "user", "content": QUESTION}])
        recorder = Recorder()
        with beta.threads.runs.create_and_stream(
            thread_id=thread.id, assistant_id=assistant.id, event_handler=recorder, **FORCED
        ) as stream:
            stream.until_done()
        events = recorder.events
        if SCRIPTED:
            assert_order(events, RUN_START + SEARCH_STEP + TEXT_STEP + RUN_COMPLETED)
        assert order_of(events)[: len(RUN_START + SEARCH_STEP)] == RUN_START + SEARCH_STEP, order_of(events)
        assert_stored(events)
        searches = searches_of(recorder.steps, "retrieval")
        for call in searches:
            assert_retrieval(call)
        assert_announced(recorder, searches)
        for message in recorder.messages:
            assert_told(events, message, quotes=True)
            assert_quoted(message, {foods.id: client.files.content(foods.id).text})
        assert recorder.texts == [message.content[0].text.value for message in recorder.messages]
        assert recorder.texts or not SCRIPTED
    delete_files(foods, colors)
