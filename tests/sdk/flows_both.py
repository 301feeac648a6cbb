"""The flows that both generations of the Python SDK have."""

import asyncio
import json
import re
import time

import openai
from openai import AssistantEventHandler, AsyncAssistantEventHandler, AsyncOpenAI, OpenAI

from harness import (
    CALL_RUN,
    CALLS_STEP,
    GREETING,
    KEY,
    MODEL,
    PREAMBLE,
    RUN_COMPLETED,
    RUN_RESUMED,
    RUN_START,
    RUN_SUSPENDED,
    SCRIPTED,
    SCRIPTED_TEXT,
    SETTINGS,
    TEXT_RUN,
    TEXT_STEP,
    TIME,
    V1,
    WEATHER,
    WEATHER_CHOICE,
    WEATHER_QUESTION,
    WEATHER_RUN,
    a_thread,
    an_assistant,
    answers_of,
    assert_answer,
    assert_deltas,
    assert_ended,
    assert_id,
    assert_order,
    assert_same,
    assert_stored,
    assert_usage,
    calls_of,
    client,
    conforms,
    first,
    flow,
    outputs_for,
    plain,
    raises,
    steps_of,
    text_of,
)

beta = client.beta

NO_SUCH = "0" * 24


# Assistants


@flow
def assistants():
    """create, retrieve, update, delete"""
    created = conforms(
        beta.assistants.create(
            model=MODEL,
            name="Meteorologist",
            description="Knows the weather",
            instructions="Tell the weather.",
            tools=[WEATHER],
            metadata={"team": "north"},
        )
    )
    assert_id("asst", created.id)
    assert created.object == "assistant" and created.model == MODEL, created
    assert (created.name, created.description) == ("Meteorologist", "Knows the weather"), created
    assert created.instructions == "Tell the weather.", created
    assert created.metadata == {"team": "north"}, created
    assert abs(created.created_at - time.time()) < 60, created
    assert created.tools[0].function.name == "get_weather", created
    assert created.tools[0].function.parameters == WEATHER["function"]["parameters"], created
    assert_same(created, beta.assistants.retrieve(created.id))

    updated = conforms(
        beta.assistants.update(created.id, name="Clerk", description=None, metadata={"a": "1"})
    )
    assert (updated.id, updated.created_at) == (created.id, created.created_at), updated
    assert (updated.name, updated.description) == ("Clerk", None), updated
    assert updated.instructions == created.instructions, updated
    assert updated.metadata == {"a": "1"}, updated
    assert updated.tools == created.tools, updated
    assert_same(updated, beta.assistants.retrieve(created.id))

    deleted = conforms(beta.assistants.delete(created.id))
    assert plain(deleted) == {"id": created.id, "object": "assistant.deleted", "deleted": True}, deleted
    with raises(openai.NotFoundError, f"No assistant found with id '{created.id}'\\."):
        beta.assistants.retrieve(created.id)


@flow
def assistants_pages():
    """The SDK walks through pages of 10, in both orders."""
    ids = [beta.assistants.create(model=MODEL, name=f"Page {n}").id for n in range(25)]
    try:
        page = beta.assistants.list(limit=10)
        assert len(page.data) == 10 and page.has_more is True, page
        assert (page.first_id, page.last_id) == (page.data[0].id, page.data[-1].id), page

        # Other programs may use the server too: their assistants are passed over.
        def walk(pages, last):
            seen = []
            for assistant in pages:
                seen.append(assistant.id)
                if assistant.id == last:
                    break
            return [one for one in seen if one in ids]

        assert walk(beta.assistants.list(limit=10), ids[0]) == ids[::-1]
        assert walk(beta.assistants.list(limit=10, order="asc", after=ids[0]), ids[-1]) == ids[1:]
    finally:
        for one in ids:
            beta.assistants.delete(one)


# Threads


@flow
def threads():
    """create with and without messages, retrieve, update, delete"""
    empty = conforms(beta.threads.create())
    assert_id("thread", empty.id)
    assert empty.object == "thread" and empty.metadata == {}, empty
    assert beta.threads.messages.list(empty.id).data == []

    thread = conforms(
        beta.threads.create(
            messages=[
                {"role": "user", "content": "First", "metadata": {"n": "1"}},
                {"role": "user", "content": "Second"},
            ],
            metadata={"topic": "numbers"},
        )
    )
    assert thread.metadata == {"topic": "numbers"}, thread
    assert_same(thread, beta.threads.retrieve(thread.id))
    messages = beta.threads.messages.list(thread.id, order="asc").data
    assert [text_of(message) for message in messages] == ["First", "Second"], messages
    assert [message.metadata for message in messages] == [{"n": "1"}, {}], messages

    updated = conforms(beta.threads.update(thread.id, metadata={"topic": "words"}))
    assert updated.metadata == {"topic": "words"}, updated
    assert_same(updated, beta.threads.retrieve(thread.id))

    deleted = conforms(beta.threads.delete(thread.id))
    assert plain(deleted) == {"id": thread.id, "object": "thread.deleted", "deleted": True}, deleted
    for request in (
        lambda: beta.threads.retrieve(thread.id),
        lambda: beta.threads.messages.list(thread.id),
        lambda: beta.threads.messages.create(thread.id, role="user", content="Too late"),
    ):
        with raises(openai.NotFoundError, f"No thread found with id '{thread.id}'\\."):
            request()


# Messages


@flow
def messages():
    """create, retrieve, update"""
    thread = beta.threads.create()
    message = conforms(
        beta.threads.messages.create(thread.id, role="user", content="Grüße, 世界 🌍", metadata={"k": "v"})
    )
    assert_id("msg", message.id)
    assert message.object == "thread.message" and message.role == "user", message
    assert message.thread_id == thread.id, message
    assert message.run_id is None and message.assistant_id is None, message
    assert text_of(message) == "Grüße, 世界 🌍", message
    assert message.metadata == {"k": "v"}, message
    assert_same(message, beta.threads.messages.retrieve(message.id, thread_id=thread.id))

    updated = conforms(beta.threads.messages.update(message.id, thread_id=thread.id, metadata={"k": "w"}))
    assert updated.metadata == {"k": "w"} and updated.content == message.content, updated
    assert_same(updated, beta.threads.messages.retrieve(message.id, thread_id=thread.id))

    other = beta.threads.create()
    with raises(openai.NotFoundError, f"No message found with id '{message.id}'\\."):
        beta.threads.messages.retrieve(message.id, thread_id=other.id)


@flow
def messages_pages():
    """order, limit, after, before, and the SDK's own walk through all pages"""
    thread = beta.threads.create()
    ids = [beta.threads.messages.create(thread.id, role="user", content=f"Message {n}").id for n in range(25)]
    newest_first = ids[::-1]

    def page(**query):
        return beta.threads.messages.list(thread.id, **query)

    assert [message.id for message in page(limit=10)] == newest_first
    assert [message.id for message in page(limit=10, order="asc")] == ids
    assert [len(p.data) for p in page(limit=10).iter_pages() if p.data] == [10, 10, 5]

    top = page()
    assert [message.id for message in top.data] == newest_first[:20], "20 is the default limit"
    assert (top.first_id, top.last_id, top.has_more) == (newest_first[0], newest_first[19], True), top
    rest = page(after=top.last_id)
    assert [message.id for message in rest.data] == newest_first[20:], rest
    assert rest.has_more is False, rest
    beyond = page(after=rest.last_id)
    assert (beyond.data, beyond.first_id, beyond.last_id, beyond.has_more) == ([], None, None, False), beyond

    # `before` gives the page that ends just before the object.
    assert [m.id for m in page(limit=2, before=newest_first[5]).data] == newest_first[3:5]
    assert [m.id for m in page(limit=2, before=ids[5], order="asc").data] == ids[3:5]
    assert [m.id for m in page(before=newest_first[5], after=newest_first[2]).data] == newest_first[3:5]

    for name, value in (("limit", 0), ("limit", 101), ("after", "nonsense"), ("before", thread.id)):
        try:
            page(**{name: value})
        except openai.BadRequestError as error:
            assert error.type == "invalid_request_error", error.body
            assert name == error.param or name in error.body["message"], error.body
        else:
            raise AssertionError(f"{name} {value} was accepted")


# Runs, polled


@flow
def poll():
    """create_and_poll, and every way to read what it left"""
    with an_assistant() as assistant:
        thread = a_thread(GREETING)
        # The interval is the server's: it sends one with a live run.
        run = beta.threads.runs.create_and_poll(
            thread_id=thread.id, assistant_id=assistant.id, metadata={"flow": "poll"}, **TEXT_RUN
        )
        assert_id("run", run.id)
        assert run.object == "thread.run" and run.metadata == {"flow": "poll"}, run
        assert (run.thread_id, run.assistant_id) == (thread.id, assistant.id), run
        assert (run.model, run.instructions) == (assistant.model, assistant.instructions), run
        assert_ended(run, turns=1)
        assert_same(run, beta.threads.runs.retrieve(run.id, thread_id=thread.id))
        listed = beta.threads.runs.list(thread.id)
        assert [one.id for one in listed.data] == [run.id], listed
        assert_same(run, listed.data[0])

        [answer] = answers_of(run)
        assert_answer(answer, run)
        everything = beta.threads.messages.list(thread.id).data
        assert [message.role for message in everything] == ["assistant", "user"], everything
        assert_same(answer, everything[0])

        [step] = steps_of(run)
        assert (step.object, step.type, step.status) == (
            "thread.run.step",
            "message_creation",
            "completed",
        ), step
        assert step.step_details.message_creation.message_id == answer.id, step
        assert step.completed_at and step.last_error is None, step
        assert_usage(step.usage, turns=1)
        assert_same(step, beta.threads.runs.steps.retrieve(step.id, thread_id=thread.id, run_id=run.id))


@flow
def poll_again():
    """The thread goes on: a second question, a second run, steps and messages of its own."""
    with an_assistant() as assistant:
        thread = a_thread(GREETING)
        runs = []
        for _ in range(2):
            run = beta.threads.runs.create_and_poll(
                thread_id=thread.id, assistant_id=assistant.id, **TEXT_RUN
            )
            assert_ended(run, turns=1)
            runs.append(run)
            beta.threads.messages.create(thread.id, role="user", content=GREETING)
        roles = [message.role for message in beta.threads.messages.list(thread.id, order="asc")]
        assert roles == ["user", "assistant", "user", "assistant", "user"], roles
        assert [run.id for run in beta.threads.runs.list(thread.id, order="asc", limit=1)] == [
            r.id for r in runs
        ]
        for run in runs:
            [answer] = answers_of(run)
            assert_answer(answer, run)


@flow
def run_overrides():
    """What a run is created with goes before what its assistant has."""
    with an_assistant(tools=[WEATHER], metadata={"from": "assistant"}) as assistant:
        thread = a_thread("I will be followed.")
        run = beta.threads.runs.create(
            thread_id=thread.id,
            assistant_id=assistant.id,
            model=MODEL,
            instructions="Be brief.",
            additional_instructions="Be kind.",
            additional_messages=[{"role": "user", "content": GREETING}],
            tools=[],
            temperature=0.5,
            max_completion_tokens=32,
            max_prompt_tokens=512,
            truncation_strategy={"type": "last_messages", "last_messages": 2},
            metadata={"from": "run"},
        )
        conforms(run)
        assert run.status == "queued" and run.started_at is None, run
        assert run.expires_at > run.created_at, run
        assert run.tools == [] and run.metadata == {"from": "run"}, run
        assert run.instructions.startswith("Be brief."), run
        assert (run.max_completion_tokens, run.max_prompt_tokens, run.temperature) == (32, 512, 0.5), run
        assert run.truncation_strategy.last_messages == 2, run
        run = beta.threads.runs.poll(run.id, thread_id=thread.id, poll_interval_ms=50)
        assert_ended(run, turns=1)
        texts = [text_of(m) for m in beta.threads.messages.list(thread.id, order="asc") if m.role == "user"]
        assert texts == ["I will be followed.", GREETING], texts


@flow
def run_metadata():
    with an_assistant() as assistant:
        thread = a_thread(GREETING)
        run = beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id, **TEXT_RUN)
        updated = conforms(
            beta.threads.runs.update(run.id, thread_id=thread.id, metadata={"reviewed": "yes"})
        )
        assert updated.metadata == {"reviewed": "yes"}, updated
        assert_same(updated, beta.threads.runs.retrieve(run.id, thread_id=thread.id))
        assert {**plain(run), "metadata": updated.metadata} == plain(updated), "nothing else changed"


# Runs, streamed


class Recorder(AssistantEventHandler):
    """Notes which callbacks the SDK fires, in their order, and what they got."""

    def __init__(self):
        super().__init__()
        self.fired = []
        self.events = []
        self.text = ""
        self.snapshot = None
        self.messages = []
        self.steps = []
        self.calls = []

    def note(self, name):
        if self.fired[-1:] != [name]:
            self.fired.append(name)

    def on_event(self, event):
        # The SDK goes on to change the objects of some events.
        self.events.append(event.model_copy(deep=True))

    def on_run_step_created(self, run_step):
        self.note("run_step_created")

    def on_run_step_delta(self, delta, snapshot):
        self.note("run_step_delta")

    def on_run_step_done(self, run_step):
        self.note("run_step_done")
        self.steps.append(run_step)

    def on_message_created(self, message):
        self.note("message_created")
        assert message.content == [], message

    def on_message_delta(self, delta, snapshot):
        self.note("message_delta")

    def on_message_done(self, message):
        self.note("message_done")
        self.messages.append(message)

    def on_text_created(self, text):
        self.note("text_created")

    def on_text_delta(self, delta, snapshot):
        self.note("text_delta")
        self.text += delta.value
        self.snapshot = snapshot.value

    def on_text_done(self, text):
        self.note("text_done")
        assert text.value == self.snapshot, (text, self.snapshot)

    def on_tool_call_created(self, tool_call):
        self.note(f"tool_call_created {tool_call.function.name}")
        assert_id("call", tool_call.id)

    def on_tool_call_delta(self, delta, snapshot):
        self.note(f"tool_call_delta {snapshot.function.name}")

    def on_tool_call_done(self, tool_call):
        self.note(f"tool_call_done {tool_call.function.name}")
        self.calls.append(tool_call)

    def on_exception(self, exception):
        self.note("exception")

    def on_timeout(self):
        self.note("timeout")

    def on_end(self):
        self.note("end")


def without_repeats(fired):
    """The first time that each callback fired: deltas alternate with each other."""
    return list(dict.fromkeys(fired))


TEXT_CALLBACKS = [
    "run_step_created",
    "message_created",
    "text_created",
    "text_delta",
    "message_delta",
    "text_done",
    "message_done",
    "run_step_done",
]


@flow
def stream_helper():
    """An event handler and until_done()"""
    with an_assistant() as assistant:
        thread = a_thread(GREETING)
        with beta.threads.runs.stream(
            thread_id=thread.id, assistant_id=assistant.id, event_handler=Recorder(), **TEXT_RUN
        ) as stream:
            stream.until_done()
        assert without_repeats(stream.fired) == [*TEXT_CALLBACKS, "end"], stream.fired
        assert stream.text == stream.snapshot == text_of(stream.messages[0]), stream.text
        assert stream.current_run.status == stream.get_final_run().status
        assert_ended(stream.get_final_run(), turns=1)
        [message] = stream.get_final_messages()
        assert_answer(message, stream.get_final_run())
        assert_same(message, stream.messages[0])
        assert len(stream.get_final_run_steps()) == 1
        assert_order(stream.events, RUN_START + TEXT_STEP + RUN_COMPLETED)


@flow
def stream_resumable():
    """A stream with ids is read as any other, and resumed after one of them"""
    resumable = {"Locum-Resumable": "true"}
    with an_assistant() as assistant:
        thread = a_thread(GREETING)
        with beta.threads.runs.stream(
            thread_id=thread.id, assistant_id=assistant.id, extra_headers=resumable, **TEXT_RUN
        ) as stream:
            events = list(stream)
        assert_order(events, RUN_START + TEXT_STEP + RUN_COMPLETED)
        run = stream.get_final_run()
        assert_ended(run, turns=1)
        names = [event.event for event in events]

        # The SDK knows no such path; what it makes of the frames shows that it reads them.
        def resumed(after):
            return client.get(
                f"/threads/{thread.id}/runs/{run.id}/events",
                cast_to=object,
                options={"params": {"after": after}, "headers": {"OpenAI-Beta": "assistants=v1" if V1 else "assistants=v2"}},
                stream=True,
                stream_cls=openai.Stream[object],
            )

        rest = [frame for frame in resumed("0-1").response.iter_lines() if frame.startswith("event: ")]
        assert rest == [f"event: {name}" for name in names[1:]] + ["event: done"], rest
        last = list(resumed("1-1"))
        assert last and last[-1]["data"]["id"] == run.id, last


@flow
def stream_text_deltas():
    """The helper without a handler: text_deltas, and iteration"""
    with an_assistant() as assistant:
        thread = a_thread(GREETING)
        with beta.threads.runs.stream(thread_id=thread.id, assistant_id=assistant.id, **TEXT_RUN) as stream:
            text = "".join(stream.text_deltas)
            assert text == text_of(stream.get_final_messages()[0]), text
        if SCRIPTED:
            assert text == SCRIPTED_TEXT, text

        beta.threads.messages.create(thread.id, role="user", content=GREETING)
        with beta.threads.runs.stream(thread_id=thread.id, assistant_id=assistant.id, **TEXT_RUN) as stream:
            names = [event.event for event in stream]
        assert names[0] == "thread.run.created", names


@flow
def stream_raw():
    """create(stream=True): the exact order, the exact deltas, and what is stored afterwards"""
    with an_assistant() as assistant:
        thread = a_thread(GREETING)
        events = list(
            beta.threads.runs.create(thread_id=thread.id, assistant_id=assistant.id, stream=True, **TEXT_RUN)
        )
        assert_order(events, RUN_START + TEXT_STEP + RUN_COMPLETED)
        assert_deltas(events)
        assert_stored(events)
        assert_ended(events[-1].data, turns=1)

        created, queued, running = (event.data for event in events[:3])
        assert [run.status for run in (created, queued, running)] == ["queued", "queued", "in_progress"]
        assert created.started_at is None and running.started_at, running
        assert created.usage is None and running.usage is None
        step = first(events, "thread.run.step.created")
        message = first(events, "thread.message.created")
        assert step.step_details.message_creation.message_id == message.id, step
        assert step.status == "in_progress" and step.usage is None, step
        assert message.status == "in_progress" and message.content == [], message
        assert message.run_id == created.id, message
        assert_usage(first(events, "thread.run.step.completed").usage, turns=1)


@flow
def stream_wire():
    """The bytes of a stream, and its headers"""
    with an_assistant() as assistant:
        thread = a_thread(GREETING)
        with beta.threads.runs.with_streaming_response.create(
            thread_id=thread.id, assistant_id=assistant.id, stream=True, **TEXT_RUN
        ) as response:
            assert_headers(response.headers)
            assert response.headers["content-type"] == "text/event-stream; charset=utf-8", response.headers
            body = b"".join(response.iter_bytes()).decode()
    assert "\r" not in body
    assert body.endswith("\n\nevent: done\ndata: [DONE]\n\n"), body[-200:]
    for block in body[:-2].split("\n\n"):
        assert re.fullmatch(r"event: [a-z_.]+\ndata: .+", block), block
    assert body.startswith("event: thread.run.created\ndata: {"), body[:200]


@flow
def stream_left():
    """The run goes on when its client leaves."""
    with an_assistant() as assistant:
        thread = a_thread(GREETING)
        with beta.threads.runs.create(
            thread_id=thread.id, assistant_id=assistant.id, stream=True, **TEXT_RUN
        ) as stream:
            run = next(iter(stream)).data
        run = beta.threads.runs.poll(run.id, thread_id=thread.id, poll_interval_ms=50)
        assert_ended(run, turns=1)
        assert_answer(answers_of(run)[0], run)


# Threads and runs in one request


@flow
def create_and_run():
    """Created, polled and streamed in the three ways of the SDK"""
    with an_assistant() as assistant:
        request = {
            "assistant_id": assistant.id,
            "thread": {
                "messages": [{"role": "user", "content": GREETING}],
                "metadata": {"made": "with a run"},
            },
            **TEXT_RUN,
        }
        run = conforms(beta.threads.create_and_run(**request))
        assert run.status == "queued", run
        run = beta.threads.runs.poll(run.id, thread_id=run.thread_id, poll_interval_ms=50)
        assert_ended(run, turns=1)
        assert beta.threads.retrieve(run.thread_id).metadata == {"made": "with a run"}
        assert_answer(answers_of(run)[0], run)

        run = beta.threads.create_and_run_poll(**request)
        assert_ended(run, turns=1)
        assert_answer(answers_of(run)[0], run)

        events = list(beta.threads.create_and_run(**request, stream=True))
        assert_order(events, ["thread.created", *RUN_START, *TEXT_STEP, *RUN_COMPLETED])
        assert_deltas(events)
        assert_stored(events)
        assert events[0].data.id == events[-1].data.thread_id, events[0]

        with beta.threads.create_and_run_stream(**request, event_handler=Recorder()) as stream:
            stream.until_done()
        assert without_repeats(stream.fired) == [*TEXT_CALLBACKS, "end"], stream.fired
        assert stream.events[0].event == "thread.created", stream.events[0]
        assert_ended(stream.get_final_run(), turns=1)
        assert_answer(stream.messages[0], stream.get_final_run())


# Function calls


def assert_tool_step(step, calls, outputs):
    """The step of function calls, before (None) and after their outputs came."""
    assert step.type == "tool_calls", step
    assert step.status == ("in_progress" if outputs is None else "completed"), step
    entries = step.step_details.tool_calls
    assert [entry.id for entry in entries] == [call.id for call in calls], step
    for number, (entry, call) in enumerate(zip(entries, calls)):
        assert entry.type == "function", entry
        assert (entry.function.name, entry.function.arguments) == (
            call.function.name,
            call.function.arguments,
        )
        assert entry.function.output == (None if outputs is None else outputs[number]), entry


def assert_all_weather(calls):
    """One call, or what a real model makes of it: it may repeat itself."""
    assert {call.function.name for call in calls} == {"get_weather"}, calls
    assert len(calls) == 1 or not SCRIPTED, calls


def finish(run, rounds=5):
    """Answers a run's calls until it ends; a forced choice may be met more than once."""
    for _ in range(rounds):
        if run.status != "requires_action":
            break
        run = beta.threads.runs.submit_tool_outputs_and_poll(
            run_id=run.id,
            thread_id=run.thread_id,
            tool_outputs=outputs_for(calls_of(run)),
            poll_interval_ms=50,
        )
    assert_ended(run)
    return run


@flow
def function_call_polled():
    """submit_tool_outputs_and_poll"""
    with an_assistant(tools=[WEATHER]) as assistant:
        thread = a_thread(WEATHER_QUESTION)
        run = conforms(
            beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id, **WEATHER_RUN)
        )
        calls = calls_of(run)
        assert_all_weather(calls)
        assert run.completed_at is None and run.usage is None, run
        [step] = steps_of(run)
        assert_tool_step(step, calls, None)
        assert answers_of(run) == []

        run = finish(run)
        steps = steps_of(run)
        assert_tool_step(steps[0], calls, ["sunny"] * len(calls))
        assert steps[-1].type == "message_creation", steps
        if SCRIPTED:
            assert_usage(run.usage, turns=2)
            assert len(steps) == 2, steps
            for step in steps:
                assert_usage(step.usage, turns=1)
            assert_answer(answers_of(run)[-1], run, "Tool said: sunny")
        with raises(openai.BadRequestError, f'Runs in status "{run.status}" do not accept tool outputs.*'):
            beta.threads.runs.submit_tool_outputs(
                run_id=run.id, thread_id=thread.id, tool_outputs=outputs_for(calls)
            )


@flow
def function_call_streamed():
    """submit_tool_outputs_stream, with an event handler"""
    with an_assistant(tools=[WEATHER]) as assistant:
        thread = a_thread(WEATHER_QUESTION)
        with beta.threads.runs.stream(
            thread_id=thread.id, assistant_id=assistant.id, event_handler=Recorder(), **WEATHER_RUN
        ) as stream:
            stream.until_done()
        run = stream.get_final_run()
        calls = calls_of(run)
        assert_all_weather(calls)
        assert without_repeats(stream.fired) == [
            "run_step_created",
            "tool_call_created get_weather",
            "run_step_delta",
            "tool_call_delta get_weather",
            "tool_call_done get_weather",
            "end",
        ], stream.fired
        assert [call.id for call in stream.calls] == [call.id for call in calls], stream.calls
        assert stream.calls[0].function.arguments == calls[0].function.arguments, stream.calls
        assert_order(stream.events, RUN_START + CALLS_STEP + RUN_SUSPENDED)
        assert_deltas(stream.events)
        assert_stored(stream.events)

        with beta.threads.runs.submit_tool_outputs_stream(
            run_id=run.id, thread_id=thread.id, tool_outputs=outputs_for(calls), event_handler=Recorder()
        ) as stream:
            stream.until_done()
        assert stream.fired[0] == "run_step_done", stream.fired
        assert_tool_step(stream.steps[0], calls, ["sunny"] * len(calls))
        run = finish(stream.get_final_run())
        if SCRIPTED:
            assert_usage(run.usage, turns=2)
            assert_order(stream.events, RUN_RESUMED + TEXT_STEP + RUN_COMPLETED)
            assert_deltas(stream.events)
            assert_stored(stream.events)
            assert_answer(stream.messages[0], run, "Tool said: sunny")


@flow
def forced_call():
    """tool_choice makes the model call the function that it names."""
    with an_assistant(tools=[WEATHER]) as assistant:
        run = beta.threads.create_and_run_poll(
            assistant_id=assistant.id,
            thread={"messages": [{"role": "user", "content": "What is the weather in Paris right now?"}]},
            tool_choice=WEATHER_CHOICE,
            **CALL_RUN,
        )
        assert run.tool_choice.type == "function", run
        assert run.tool_choice.function.name == "get_weather", run
        assert_all_weather(calls_of(run))
        finish(run)


TWO_CALLS = "call get_weather and call get_time"


@flow(scripted=True)
def parallel_calls_polled():
    """Two calls in one reply; incomplete and unknown outputs are refused."""
    with an_assistant(tools=[WEATHER, TIME]) as assistant:
        thread = a_thread(TWO_CALLS)
        run = beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)
        calls = calls_of(run)
        assert [call.function.name for call in calls] == ["get_weather", "get_time"], calls
        expected = (
            "Expected tool outputs for call_ids " + re.escape(str([call.id for call in calls])) + ", got "
        )
        for outputs in (
            outputs_for(calls[:1]),
            [*outputs_for(calls), {"tool_call_id": "call_" + NO_SUCH, "output": "?"}],
        ):
            got = re.escape(str([output["tool_call_id"] for output in outputs]))
            with raises(openai.BadRequestError, expected + got):
                beta.threads.runs.submit_tool_outputs(
                    run_id=run.id, thread_id=thread.id, tool_outputs=outputs
                )
        [step] = steps_of(run)
        assert_tool_step(step, calls, None)

        resumed = beta.threads.runs.submit_tool_outputs(
            run_id=run.id, thread_id=thread.id, tool_outputs=outputs_for(calls)
        )
        conforms(resumed)
        assert resumed.status == "queued" and resumed.required_action is None, resumed
        run = beta.threads.runs.poll(run.id, thread_id=thread.id, poll_interval_ms=50)
        assert_ended(run, turns=2)
        steps = steps_of(run)
        assert [step.type for step in steps] == ["tool_calls", "message_creation"], steps
        assert_tool_step(steps[0], calls, ["sunny", "noon"])
        [answer] = answers_of(run)
        assert_answer(answer, run, "Tool said: sunny, noon")


@flow(scripted=True)
def parallel_calls_streamed():
    """Two calls in one reply, as the raw stream and as the helper see them"""
    with an_assistant(tools=[WEATHER, TIME]) as assistant:
        thread = a_thread(TWO_CALLS)
        events = list(beta.threads.runs.create(thread_id=thread.id, assistant_id=assistant.id, stream=True))
        assert_order(events, RUN_START + CALLS_STEP + RUN_SUSPENDED)
        assert_deltas(events)
        assert_stored(events)
        run = events[-1].data
        calls = calls_of(run)
        assert [call.function.name for call in calls] == ["get_weather", "get_time"], calls
        step = first(events, "thread.run.step.created")
        assert step.step_details.tool_calls == [] and step.usage is None, step

        events = list(
            beta.threads.runs.submit_tool_outputs(
                run_id=run.id, thread_id=thread.id, tool_outputs=outputs_for(calls), stream=True
            )
        )
        assert_order(events, RUN_RESUMED + TEXT_STEP + RUN_COMPLETED)
        assert_deltas(events)
        assert_stored(events)
        assert_tool_step(events[0].data, calls, ["sunny", "noon"])
        assert_usage(events[0].data.usage, turns=1)
        assert_ended(events[-1].data, turns=2)
        assert_answer(first(events, "thread.message.completed"), events[-1].data, "Tool said: sunny, noon")

        beta.threads.messages.create(thread.id, role="user", content=TWO_CALLS)
        with beta.threads.runs.stream(
            thread_id=thread.id, assistant_id=assistant.id, event_handler=Recorder()
        ) as stream:
            stream.until_done()
        assert [name for name in without_repeats(stream.fired) if name.startswith("tool_call_")] == [
            "tool_call_created get_weather",
            "tool_call_delta get_weather",
            "tool_call_done get_weather",
            "tool_call_created get_time",
            "tool_call_delta get_time",
            "tool_call_done get_time",
        ], stream.fired
        assert [json.loads(call.function.arguments) for call in stream.calls] == [{"city": "Paris"}] * 2
        finish(stream.get_final_run())


@flow(scripted=True)
def text_before_call():
    """The model speaks, then calls: a message step, then a tool step."""
    with an_assistant(tools=[WEATHER]) as assistant:
        thread = a_thread("say first, then call get_weather")
        events = list(beta.threads.runs.create(thread_id=thread.id, assistant_id=assistant.id, stream=True))
        assert_order(events, RUN_START + TEXT_STEP + CALLS_STEP + RUN_SUSPENDED)
        assert_deltas(events)
        assert_stored(events)
        run = events[-1].data
        calls = calls_of(run)
        assert_answer(first(events, "thread.message.completed"), run, PREAMBLE)

        with beta.threads.runs.submit_tool_outputs_stream(
            run_id=run.id, thread_id=thread.id, tool_outputs=outputs_for(calls), event_handler=Recorder()
        ) as stream:
            stream.until_done()
        run = stream.get_final_run()
        assert_ended(run, turns=2)
        assert [text_of(message) for message in answers_of(run)] == [PREAMBLE, "Tool said: sunny"]
        steps = steps_of(run)
        assert [step.type for step in steps] == ["message_creation", "tool_calls", "message_creation"], steps

        # The same, polled.
        run = beta.threads.create_and_run_poll(
            assistant_id=assistant.id,
            thread={"messages": [{"role": "user", "content": "say first, then call get_weather"}]},
        )
        assert [text_of(message) for message in answers_of(run)] == [PREAMBLE]
        finish(run)


# Runs that are stopped


def a_slow_run(assistant):
    """A run of ten seconds, in progress."""
    run = beta.threads.create_and_run(
        assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": "Be slow."}]}
    )
    deadline = time.monotonic() + 10
    while run.status == "queued" and time.monotonic() < deadline:
        time.sleep(0.05)
        run = beta.threads.runs.retrieve(run.id, thread_id=run.thread_id)
    assert run.status == "in_progress", run
    return run


def assert_cancelled(run):
    """A cancelled run, and what it leaves behind"""
    conforms(run)
    assert run.status == "cancelled" and run.cancelled_at, run
    assert run.last_error is None and run.completed_at is None, run
    for step in steps_of(run):
        assert step.status == "cancelled" and step.cancelled_at, step
    for message in answers_of(run):
        conforms(message)
        assert message.status == "incomplete" and message.incomplete_at, message
        assert message.incomplete_details.reason == "run_cancelled", message
    with raises(openai.BadRequestError, "Cannot cancel run with status 'cancelled'\\."):
        beta.threads.runs.cancel(run.id, thread_id=run.thread_id)
    # The thread is free again.
    beta.threads.messages.create(run.thread_id, role="user", content=GREETING)


@flow(scripted=True)
def cancel():
    """Cancels a run in progress, and one that waits for tool outputs."""
    with an_assistant(tools=[WEATHER]) as assistant:
        run = a_slow_run(assistant)
        time.sleep(0.5)
        cancelling = conforms(beta.threads.runs.cancel(run.id, thread_id=run.thread_id))
        assert cancelling.status == "cancelling", cancelling
        started = time.monotonic()
        run = beta.threads.runs.poll(run.id, thread_id=run.thread_id, poll_interval_ms=50)
        assert time.monotonic() - started < 3, "the cancel was slow"
        assert_cancelled(run)
        run = beta.threads.runs.create_and_poll(thread_id=run.thread_id, assistant_id=assistant.id)
        assert_ended(run, turns=1)

        waiting = beta.threads.create_and_run_poll(
            assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": WEATHER_QUESTION}]}
        )
        calls_of(waiting)
        beta.threads.runs.cancel(waiting.id, thread_id=waiting.thread_id)
        assert_cancelled(beta.threads.runs.poll(waiting.id, thread_id=waiting.thread_id, poll_interval_ms=50))


@flow(scripted=True)
def cancel_streamed():
    """The stream of a run that is cancelled ends as it should."""
    with an_assistant() as assistant:
        thread = a_thread("Be slow.")
        events = []
        for event in beta.threads.runs.create(thread_id=thread.id, assistant_id=assistant.id, stream=True):
            events.append(event)
            if [one.event for one in events].count("thread.message.delta") == 2:
                if event.event == "thread.message.delta":
                    beta.threads.runs.cancel(events[0].data.id, thread_id=thread.id)
        names = [event.event for event in events if event.event != "thread.message.delta"]
        assert names == [
            *RUN_START,
            *TEXT_STEP[:4],
            "thread.run.cancelling",
            "thread.message.incomplete",
            "thread.run.step.cancelled",
            "thread.run.cancelled",
        ], names
        for event in events:
            conforms(event)
        assert_deltas(events)
        assert_stored(events)
        assert_cancelled(events[-1].data)


@flow(scripted=True)
def busy_thread():
    """A thread holds one live run, and takes no messages meanwhile."""
    with an_assistant() as assistant:
        run = a_slow_run(assistant)
        thread_id = run.thread_id
        with raises(
            openai.BadRequestError, f"Can't add messages to {thread_id} while a run {run.id} is active\\."
        ):
            beta.threads.messages.create(thread_id, role="user", content="And?")
        with raises(openai.BadRequestError, f"Thread {thread_id} already has an active run {run.id}\\."):
            beta.threads.runs.create(thread_id=thread_id, assistant_id=assistant.id)
        with raises(openai.BadRequestError, "Cannot update run with status 'in_progress'\\."):
            beta.threads.runs.update(run.id, thread_id=thread_id, metadata={"a": "b"})
        with raises(openai.BadRequestError, 'Runs in status "in_progress" do not accept tool outputs\\.'):
            beta.threads.runs.submit_tool_outputs(
                run_id=run.id,
                thread_id=thread_id,
                tool_outputs=[{"tool_call_id": "call_" + NO_SUCH, "output": ""}],
            )
        live = beta.threads.runs.with_raw_response.retrieve(run.id, thread_id=thread_id)
        assert live.parse().status == "in_progress", live.parse()
        assert int(live.headers["openai-poll-after-ms"]) > 0, live.headers
        beta.threads.runs.cancel(run.id, thread_id=thread_id)
        ended = beta.threads.runs.poll(run.id, thread_id=thread_id, poll_interval_ms=50)
        assert ended.status == "cancelled", ended


# Errors and headers


@flow
def errors():
    """The SDK's error classes, and the fields that they read"""
    thread = a_thread(GREETING)
    with an_assistant() as assistant:
        missing = [
            ("assistant", "asst_", beta.assistants.retrieve),
            ("assistant", "asst_", beta.assistants.delete),
            ("thread", "thread_", beta.threads.retrieve),
            ("thread", "thread_", lambda one: beta.threads.runs.list(one)),
            ("message", "msg_", lambda one: beta.threads.messages.retrieve(one, thread_id=thread.id)),
            ("run", "run_", lambda one: beta.threads.runs.retrieve(one, thread_id=thread.id)),
            ("run", "run_", lambda one: beta.threads.runs.cancel(one, thread_id=thread.id)),
            (
                "assistant",
                "asst_",
                lambda one: beta.threads.runs.create(thread_id=thread.id, assistant_id=one),
            ),
            # A stream that cannot start is a plain error too.
            (
                "assistant",
                "asst_",
                lambda one: beta.threads.runs.create(thread_id=thread.id, assistant_id=one, stream=True),
            ),
        ]
        for noun, prefix, request in missing:
            with raises(openai.NotFoundError, f"No {noun} found with id '{prefix}{NO_SUCH}'\\."):
                request(prefix + NO_SUCH)

        wrong_key = "lk_" + "wrong" * 8
        with raises(openai.AuthenticationError, "Incorrect API key provided: .*", code="invalid_api_key"):
            OpenAI(**{**SETTINGS, "api_key": wrong_key}).beta.assistants.list()
        try:
            OpenAI(**{**SETTINGS, "api_key": wrong_key}).beta.assistants.list()
        except openai.AuthenticationError as error:
            assert wrong_key not in str(error) and KEY not in str(error), "the key is masked"

        with raises(
            openai.BadRequestError,
            "Invalid type for 'metadata\\.k': expected a string, but got an array instead\\.",
            code="invalid_type",
            param="metadata.k",
        ):
            # v1 takes booleans and numbers.
            beta.assistants.create(model=MODEL, metadata={"k": ["a"]})
        with raises(
            openai.BadRequestError,
            "Invalid 'content': string too long\\. Expected a string with maximum length 256000, "
            "but got a string with length 256001 instead\\.",
            code="string_above_max_length",
            param="content",
        ):
            beta.threads.messages.create(thread.id, role="user", content="x" * 256_001)
        with raises(
            openai.BadRequestError,
            "Invalid 'assistant_id': 'x'\\. Expected an ID that begins with 'asst'\\.",
            code="invalid_value",
            param="assistant_id",
        ):
            beta.threads.runs.create(thread_id=thread.id, assistant_id="x")
        with raises(
            openai.BadRequestError,
            "Missing required parameter: 'model'\\.",
            code="missing_required_parameter",
            param="model",
        ):
            client.post(
                "/assistants",
                body={"name": "No model"},
                cast_to=object,
                options={"headers": {"OpenAI-Beta": "assistants=v1" if V1 else "assistants=v2"}},
            )
        for fields in ({"temperature": 3}, {"instructions": "x" * 256_001}):
            try:
                beta.threads.runs.create(thread_id=thread.id, assistant_id=assistant.id, **fields)
            except openai.BadRequestError as error:
                assert error.param in fields and error.type == "invalid_request_error", error.body
            else:
                raise AssertionError(f"{list(fields)} was accepted")
        # None of that made a run or a message.
        assert beta.threads.runs.list(thread.id).data == []
        assert len(beta.threads.messages.list(thread.id).data) == 1


def assert_headers(headers):
    """The headers of every reply"""
    assert re.fullmatch(r"req_[0-9a-f]{32}", headers["x-request-id"]), headers
    assert headers["openai-version"] == "2020-10-01", headers
    assert re.fullmatch(r"[0-9]+", headers["openai-processing-ms"]), headers


@flow
def headers():
    """with_raw_response and with_streaming_response"""
    raw = beta.assistants.with_raw_response.create(model=MODEL, name="Raw")
    assert_headers(raw.headers)
    assert raw.headers["content-type"].startswith("application/json"), raw.headers
    assistant = raw.parse()
    assert assistant.name == "Raw", assistant

    with beta.assistants.with_streaming_response.retrieve(assistant.id) as response:
        assert_headers(response.headers)
        assert_same(response.parse(), assistant)

    other = beta.assistants.with_raw_response.retrieve(assistant.id)
    assert other.headers["x-request-id"] != raw.headers["x-request-id"]
    beta.assistants.delete(assistant.id)
    try:
        beta.assistants.retrieve(assistant.id)
    except openai.NotFoundError as error:
        assert_headers(error.response.headers)
    else:
        raise AssertionError("a deleted assistant was found")


# The programs of the SDK's documentation: a tutor for mathematics


def a_tutor():
    return an_assistant(
        name="Math Tutor",
        instructions="You are a personal math tutor. Write and run code to answer math questions.",
        tools=[{"type": "code_interpreter"}],
    )


EQUATION = "I need to solve the equation `3x + 11 = 14`. Can you help me?"
POLITENESS = "Please address the user as Jane Doe. The user has a premium account."


@flow
def example_poll():
    """The example that polls"""
    with a_tutor() as assistant:
        thread = client.beta.threads.create()
        client.beta.threads.messages.create(thread_id=thread.id, role="user", content=EQUATION)
        run = client.beta.threads.runs.create_and_poll(
            thread_id=thread.id, assistant_id=assistant.id, instructions=POLITENESS, **TEXT_RUN
        )
        assert_ended(run)
        assert [tool.type for tool in run.tools] == ["code_interpreter"], run
        assert run.instructions == POLITENESS, run
        transcript = []
        for message in client.beta.threads.messages.list(thread_id=thread.id):
            assert message.content[0].type == "text", message
            transcript.append({"role": message.role, "message": message.content[0].text.value})
        assert [line["role"] for line in transcript] == ["assistant", "user"], transcript
        assert transcript[1]["message"] == EQUATION and transcript[0]["message"], transcript


@flow
def example_stream():
    """The example that iterates over a raw stream"""
    with a_tutor() as assistant:
        stream = client.beta.threads.create_and_run(
            assistant_id=assistant.id,
            thread={"messages": [{"role": "user", "content": EQUATION}]},
            instructions=POLITENESS,
            stream=True,
            **TEXT_RUN,
        )
        events = list(stream)
        assert events[0].event == "thread.created", events[0]
        assert_ended(events[-1].data)


@flow
def example_stream_helpers():
    """The example with an event handler of its own"""
    lines = []

    class Tutor(AssistantEventHandler):
        def on_event(self, event):
            if event.event == "thread.run.step.created":
                lines.append(f"{event.data.step_details.type} > {event.data.step_details.type}")
            elif event.event == "thread.message.delta" and event.data.delta.content:
                assert event.data.delta.content[0].type == "text", event

        def on_text_delta(self, delta, snapshot):
            lines.append(delta.value)
            assert snapshot.value.endswith(delta.value), (delta, snapshot)

        def on_run_step_done(self, run_step):
            details = run_step.step_details
            if details.type == "tool_calls":
                for tool in details.tool_calls:
                    lines.append(tool.type)

        def on_message_done(self, message):
            assert not message.content[0].text.annotations, message
            lines.append("done")

    with a_tutor() as assistant:
        thread = a_thread(EQUATION)
        with client.beta.threads.runs.stream(
            thread_id=thread.id,
            assistant_id=assistant.id,
            instructions=POLITENESS,
            event_handler=Tutor(),
            **TEXT_RUN,
        ) as stream:
            stream.until_done()
    assert lines[0] == "message_creation > message_creation" and lines[-1] == "done", lines
    if SCRIPTED:
        assert "".join(lines[1:-1]) == SCRIPTED_TEXT, lines


# AsyncOpenAI


@flow
async def async_poll():
    """Eight runs at once, polled; pages by `async for`"""
    async with AsyncOpenAI(**SETTINGS) as aclient:
        assistant = await aclient.beta.assistants.create(model=MODEL, name="Async")
        runs = await asyncio.gather(
            *(
                aclient.beta.threads.create_and_run_poll(
                    assistant_id=assistant.id,
                    thread={"messages": [{"role": "user", "content": GREETING}]},
                    **TEXT_RUN,
                )
                for _ in range(8 if SCRIPTED else 2)
            )
        )
        for run in runs:
            assert_ended(run, turns=1)
            roles = [m.role async for m in aclient.beta.threads.messages.list(run.thread_id, limit=1)]
            assert roles == ["assistant", "user"], roles
        run = await aclient.beta.threads.runs.create_and_poll(
            thread_id=runs[0].thread_id, assistant_id=assistant.id, poll_interval_ms=50, **TEXT_RUN
        )
        assert_ended(run, turns=1)
        await aclient.beta.assistants.delete(assistant.id)


class AsyncRecorder(AsyncAssistantEventHandler):
    def __init__(self):
        super().__init__()
        self.text = ""
        self.ends = 0

    async def on_text_delta(self, delta, snapshot):
        self.text += delta.value

    async def on_end(self):
        self.ends += 1


@flow
async def async_stream():
    """An asynchronous event handler, the raw stream, and a function call round trip"""
    async with AsyncOpenAI(**SETTINGS) as aclient:
        assistant = await aclient.beta.assistants.create(model=MODEL, name="Async", tools=[WEATHER])
        thread = await aclient.beta.threads.create(messages=[{"role": "user", "content": GREETING}])
        # A small real model calls what it is offered, so nothing is.
        async with aclient.beta.threads.runs.stream(
            thread_id=thread.id,
            assistant_id=assistant.id,
            tools=[],
            event_handler=AsyncRecorder(),
            **TEXT_RUN,
        ) as stream:
            await stream.until_done()
        assert stream.ends == 1
        [message] = await stream.get_final_messages()
        assert stream.text == text_of(message), stream.text
        assert_ended(await stream.get_final_run(), turns=1)

        await aclient.beta.threads.messages.create(thread.id, role="user", content=WEATHER_QUESTION)
        events = [
            event
            async for event in await aclient.beta.threads.runs.create(
                thread_id=thread.id, assistant_id=assistant.id, stream=True, **WEATHER_RUN
            )
        ]
        assert_order(events, RUN_START + CALLS_STEP + RUN_SUSPENDED)
        run = events[-1].data
        async with aclient.beta.threads.runs.submit_tool_outputs_stream(
            run_id=run.id,
            thread_id=thread.id,
            tool_outputs=outputs_for(calls_of(run)),
            event_handler=AsyncRecorder(),
        ) as stream:
            await stream.until_done()
        run = await stream.get_final_run()
        if SCRIPTED:
            assert_ended(run, turns=2)
            assert stream.text == "Tool said: sunny", stream.text
        finish(run)
        await aclient.beta.assistants.delete(assistant.id)
