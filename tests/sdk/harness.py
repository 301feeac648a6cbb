"""What the Python flows share: settings, the registry of flows, and the checks.

A flow is a function that drives the server through the official SDK and asserts
what it sees. Flows run in the order in which they are defined, each on objects
of its own, so that several programs may use one server at once.
"""

import asyncio
import contextlib
import inspect
import json
import os
import re
import sys
import traceback
import warnings

# The flows talk to the server under test and to nothing else.
os.environ["NO_PROXY"] = "*"

import openai  # noqa: E402
import pydantic  # noqa: E402

# The newest SDK marks the whole API as deprecated.
warnings.filterwarnings("ignore", category=DeprecationWarning)

URL = os.environ.get("LOCUM_TEST_URL", "http://127.0.0.1:8080/v1")
KEY = os.environ.get("LOCUM_TEST_KEY", "unset")
MODEL = os.environ.get("LOCUM_TEST_MODEL", "gpt-4o")
SCRIPTED = os.environ.get("LOCUM_TEST_SCRIPTED") == "1"

# openai 1.20.0 is the last SDK that speaks `assistants=v1`.
V1 = openai.__version__.startswith("1.")

# Retries are off: a request that the SDK would repeat is a finding.
SETTINGS = {"base_url": URL, "api_key": KEY, "max_retries": 0, "timeout": 120}
client = openai.OpenAI(**SETTINGS)

# A small real model is slow and may ramble, so its turns are short.
TEXT_RUN = {} if SCRIPTED else {"temperature": 0, "max_completion_tokens": 32}
CALL_RUN = {} if SCRIPTED else {"temperature": 0, "max_completion_tokens": 200}

GREETING = "Say hello."
SCRIPTED_TEXT = "Hello from the scripted model."
PREAMBLE = "Let me look."


# Flows

FLOWS = {}


def flow(function=None, *, scripted=False):
    """Registers a flow. `scripted` flows need the scripted model's answers."""
    if function is None:
        return lambda f: flow(f, scripted=scripted)
    FLOWS[function.__name__] = (function, scripted)
    return function


def main():
    """Runs the flows named on the command line, all of them by default."""
    names = sys.argv[1:] or list(FLOWS)
    if names == ["--list"]:
        print("\n".join(FLOWS))
        return
    unknown = [name for name in names if name not in FLOWS]
    if unknown:
        sys.exit(f"no such flow: {', '.join(unknown)}; --list names them")
    for name in names:
        function, scripted = FLOWS[name]
        if scripted and not SCRIPTED:
            print(f"skip {name}: needs the scripted model", flush=True)
            continue
        try:
            if inspect.iscoroutinefunction(function):
                asyncio.run(function())
            else:
                function()
        except Exception:
            traceback.print_exc()
            sys.exit(f"FAILED {name} (openai {openai.__version__})")
        print(f"ok {name}", flush=True)


# Objects to work on


@contextlib.contextmanager
def an_assistant(**fields):
    """An assistant that lives as long as the block."""
    fields = {"name": "Flow", "instructions": "Answer in one short sentence.", **fields}
    created = client.beta.assistants.create(model=MODEL, **fields)
    try:
        yield created
    finally:
        client.beta.assistants.delete(created.id)


def a_thread(*texts):
    """A thread with one user message for each text."""
    return client.beta.threads.create(messages=[{"role": "user", "content": text} for text in texts])


def a_function(name, description):
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": parameters},
    }


WEATHER = a_function("get_weather", "Get the current weather of a city")
TIME = a_function("get_time", "Get the current time of a city")
WEATHER_CHOICE = {"type": "function", "function": {"name": "get_weather"}}
TOOL_OUTPUTS = {"get_weather": "sunny", "get_time": "noon"}

# The scripted model calls what the text names; a real one is made to.
WEATHER_QUESTION = "call get_weather" if SCRIPTED else "What is the weather in Paris right now?"
WEATHER_RUN = {} if SCRIPTED else {**CALL_RUN, "tool_choice": WEATHER_CHOICE}


def calls_of(run):
    """The function calls that a run waits for, checked."""
    assert run.status == "requires_action", run
    assert run.required_action.type == "submit_tool_outputs", run.required_action
    calls = run.required_action.submit_tool_outputs.tool_calls
    assert calls, run.required_action
    for call in calls:
        assert call.type == "function", call
        assert_id("call", call.id)
        assert isinstance(json.loads(call.function.arguments), dict), call
        if SCRIPTED:
            assert json.loads(call.function.arguments) == {"city": "Paris"}, call
    assert len({call.id for call in calls}) == len(calls), calls
    return calls


def outputs_for(calls):
    return [{"tool_call_id": call.id, "output": TOOL_OUTPUTS[call.function.name]} for call in calls]


# Checks


def plain(value):
    """An SDK object as the wire had it: absent fields stay absent."""
    return value.model_dump(exclude_unset=True, warnings=False)


def conforms(value):
    """Validates an object, which the SDK itself does not, against the SDK's own type."""
    try:
        type(value).model_validate(value.model_dump(exclude_unset=True, by_alias=True, warnings=False))
    except pydantic.ValidationError as error:
        # A run without instructions has a null there, which the types do not know.
        if any(
            fault["loc"][-1:] != ("instructions",) or fault["input"] is not None for fault in error.errors()
        ):
            raise
    return value


def assert_same(left, right):
    assert plain(left) == plain(right), f"\n{plain(left)}\n{plain(right)}"


def assert_id(prefix, value, separator="_"):
    assert re.fullmatch(rf"{prefix}{separator}[A-Za-z0-9]+", value), value


def text_of(message):
    """The text of a message that has one text part."""
    assert [part.type for part in message.content] == ["text"], message
    assert message.content[0].text.annotations == [], message
    return message.content[0].text.value


def assert_usage(usage, turns=None):
    """Checks a usage object; `turns` is the number of model replies in it."""
    assert usage is not None
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens, usage
    if SCRIPTED and turns:
        assert (usage.prompt_tokens, usage.completion_tokens) == (10 * turns, 5 * turns), usage


def assert_ended(run, turns=None):
    """A run that came to a good end.

    A real model may hit the token limit. The newest SDK is told so; a v1 poller
    does not know that status, so it sees a completed run.
    """
    conforms(run)
    incomplete_is_fine = not SCRIPTED and not V1
    assert run.status in (("completed", "incomplete") if incomplete_is_fine else ("completed",)), run
    assert run.required_action is None and run.last_error is None, run
    assert run.failed_at is None and run.cancelled_at is None, run
    assert run.started_at >= run.created_at, run
    assert_usage(run.usage, turns)
    if run.status == "completed":
        assert run.completed_at >= run.started_at, run
        assert run.expires_at is None, run
    else:
        assert run.incomplete_details.reason in ("max_completion_tokens", "max_prompt_tokens"), run
    if SCRIPTED:
        assert not getattr(run, "incomplete_details", None), run


def assert_answer(message, run, text=SCRIPTED_TEXT):
    """A message that a run wrote."""
    conforms(message)
    assert_id("msg", message.id)
    assert message.object == "thread.message" and message.role == "assistant", message
    assert (message.run_id, message.thread_id) == (run.id, run.thread_id), message
    assert message.assistant_id == run.assistant_id, message
    assert message.status in (("completed",) if SCRIPTED else ("completed", "incomplete")), message
    if SCRIPTED:
        assert text_of(message) == text, message
        assert message.incomplete_details is None and message.completed_at, message
    else:
        assert text_of(message), message


def answers_of(run):
    """The messages that a run wrote, oldest first."""
    return list(client.beta.threads.messages.list(run.thread_id, run_id=run.id, order="asc"))


def steps_of(run):
    """The steps of a run, oldest first."""
    steps = list(client.beta.threads.runs.steps.list(run_id=run.id, thread_id=run.thread_id, order="asc"))
    for step in steps:
        conforms(step)
        assert_id("step", step.id)
        assert (step.run_id, step.thread_id, step.assistant_id) == (
            run.id,
            run.thread_id,
            run.assistant_id,
        ), step
        assert step.type == step.step_details.type, step
    return steps


# Event streams

RUN_START = ["thread.run.created", "thread.run.queued", "thread.run.in_progress"]
RUN_RESUMED = ["thread.run.step.completed", "thread.run.queued", "thread.run.in_progress"]
TEXT_STEP = [
    "thread.run.step.created",
    "thread.run.step.in_progress",
    "thread.message.created",
    "thread.message.in_progress",
    "thread.message.delta",
    "thread.message.completed",
    "thread.run.step.completed",
]
CALLS_STEP = ["thread.run.step.created", "thread.run.step.in_progress", "thread.run.step.delta"]
RUN_COMPLETED = ["thread.run.completed"]
RUN_SUSPENDED = ["thread.run.requires_action"]


def order_of(events):
    """The names of the events in their order, a row of deltas as one."""
    names = [event.event for event in events]
    return [
        name
        for name, previous in zip(names, [None, *names])
        if name != previous or not name.endswith(".delta")
    ]


def assert_order(events, expected):
    """Checks the order, where a real model's answer may have hit the token limit."""
    names = order_of(events)
    if not SCRIPTED:
        limit_hit = {"thread.message.incomplete": "thread.message.completed"}
        if not V1:
            limit_hit["thread.run.incomplete"] = "thread.run.completed"
        names = [limit_hit.get(name, name) for name in names]
    assert names == expected, f"\n{names}\n{expected}"
    for event in events:
        conforms(event)


def first(events, name):
    return next(event.data for event in events if event.event == name)


def assert_deltas(events):
    """Checks every delta's exact shape, and that together they are the final objects."""
    for event in events:
        if event.event in ("thread.message.completed", "thread.message.incomplete"):
            assert_message_deltas(events, event.data)
        if event.event == "thread.run.requires_action":
            assert_call_deltas(events, calls_of(event.data))


def assert_message_deltas(events, message):
    deltas = [e.data for e in events if e.event == "thread.message.delta" and e.data.id == message.id]
    for number, delta in enumerate(deltas):
        text = {"value": delta.delta.content[0].text.value}
        if number == 0:
            text["annotations"] = []
        content = [{"index": 0, "type": "text", "text": text}]
        assert plain(delta) == {
            "id": message.id,
            "object": "thread.message.delta",
            "delta": {"content": content},
        }, plain(delta)
    assert "".join(delta.delta.content[0].text.value for delta in deltas) == text_of(message), message
    if SCRIPTED and text_of(message) == SCRIPTED_TEXT:
        assert len(deltas) > 1, "the text came in one piece"


def assert_call_deltas(events, calls):
    arguments = {}
    for delta in [e.data for e in events if e.event == "thread.run.step.delta"]:
        assert delta.object == "thread.run.step.delta", delta
        details = plain(delta)["delta"]["step_details"]
        assert details["type"] == "tool_calls", details
        for entry in details["tool_calls"]:
            index = entry["index"]
            if index not in arguments:
                call = calls[index]
                opening = {"name": call.function.name, "arguments": "", "output": None}
                assert entry == {"index": index, "id": call.id, "type": "function", "function": opening}, (
                    entry
                )
                arguments[index] = ""
            else:
                fragment = entry["function"]["arguments"]
                assert entry == {"index": index, "type": "function", "function": {"arguments": fragment}}, (
                    entry
                )
                arguments[index] += fragment
    assert [arguments[i] for i in range(len(calls))] == [c.function.arguments for c in calls], arguments


def assert_stored(events):
    """The objects that the stream ended with are those that GET answers."""
    beta = client.beta
    run = [event.data for event in events if event.data.object == "thread.run"][-1]
    assert_same(run, beta.threads.runs.retrieve(run.id, thread_id=run.thread_id))
    for event in events:
        data = event.data
        if event.event in ("thread.message.completed", "thread.message.incomplete"):
            assert_same(data, beta.threads.messages.retrieve(data.id, thread_id=run.thread_id))
        if event.event == "thread.run.step.completed":
            assert_same(
                data, beta.threads.runs.steps.retrieve(data.id, thread_id=run.thread_id, run_id=run.id)
            )
        if event.event == "thread.created":
            assert_same(data, beta.threads.retrieve(data.id))


# Errors


@contextlib.contextmanager
def raises(kind, message=None, *, code=None, param=None, type="invalid_request_error"):
    """The block's request fails with this error; `message` is a regular expression."""
    try:
        yield
    except kind as error:
        assert isinstance(error.body, dict), error
        assert set(error.body) == {"message", "type", "param", "code"}, error.body
        assert (error.code, error.param, error.type) == (code, param, type), error.body
        assert message is None or re.fullmatch(message, error.body["message"]), error.body
        assert re.fullmatch(r"req_[0-9a-f]{32}", error.request_id or ""), error.request_id
        return
    raise AssertionError(f"no {kind.__name__}")
