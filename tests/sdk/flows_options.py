"""The options of a run, each polled and streamed, as both generations of the Python SDK give them.

A small real model is held to the form of its answers, never to their sense.
"""

import json

import flows_both
from harness import (
    GREETING,
    SCRIPTED,
    TEXT_RUN,
    TIME,
    V1,
    WEATHER,
    WEATHER_CHOICE,
    WEATHER_QUESTION,
    a_thread,
    an_assistant,
    answers_of,
    assert_ended,
    assert_stored,
    calls_of,
    client,
    conforms,
    flow,
    plain,
    text_of,
)

beta = client.beta
# Enough for a call or a short object of a small real model.
SHORT = {} if SCRIPTED else {"temperature": 0, "max_completion_tokens": 120}
# A reply that hits its limit ends a run thus.
LIMIT_HIT = "completed" if V1 else "incomplete"


def both_ways(assistant, question, **fields):
    """The run that a poller gets, then the one that a stream ends with."""
    thread = a_thread(question)
    run = beta.threads.runs.create_and_poll(
        thread_id=thread.id, assistant_id=assistant.id, poll_interval_ms=50, **fields
    )
    yield conforms(run)
    thread = a_thread(question)
    events = list(
        beta.threads.runs.create(thread_id=thread.id, assistant_id=assistant.id, stream=True, **fields)
    )
    assert_stored(events)
    assert events[-1].data.object == "thread.run", events[-1]
    yield conforms(events[-1].data)


def is_whole(run):
    """Whether the run came to its end within its limit of tokens."""
    assert_ended(run)
    return not getattr(run, "incomplete_details", None)


def assert_object(run, schema_keys=None):
    """The answer is a JSON object, where it is whole and the model a real one."""
    if not is_whole(run) or SCRIPTED:
        return
    [answer] = answers_of(run)
    value = json.loads(text_of(answer))
    assert isinstance(value, dict), value
    assert schema_keys is None or set(value) == schema_keys, value


@flow
def options_json_object():
    """response_format json_object"""
    with an_assistant(instructions="Answer with a JSON object.") as assistant:
        for run in both_ways(
            assistant, "JSON: your name?", response_format={"type": "json_object"}, **SHORT
        ):
            assert run.response_format.type == "json_object", run
            assert_object(run)


@flow
def options_tool_choice_none():
    """tool_choice none: nothing is called, and no syntax of tools is in the text."""
    with an_assistant(tools=[WEATHER]) as assistant:
        for run in both_ways(assistant, GREETING, tool_choice="none", **TEXT_RUN):
            assert run.tool_choice == "none" and len(run.tools) == 1, run
            assert_ended(run)
            [answer] = answers_of(run)
            assert "tool_call" not in text_of(answer), answer


@flow
def options_tool_choice_auto():
    """tool_choice auto: whatever the model does, the run comes to an end."""
    with an_assistant(tools=[WEATHER]) as assistant:
        for run in both_ways(assistant, WEATHER_QUESTION, tool_choice="auto", **SHORT):
            assert run.tool_choice == "auto", run
            if SCRIPTED:
                assert run.status == "requires_action", run
            flows_both.finish(run)


@flow
def options_tool_choice_function():
    """tool_choice names one of two functions."""
    with an_assistant(tools=[TIME, WEATHER]) as assistant:
        for run in both_ways(assistant, WEATHER_QUESTION, tool_choice=WEATHER_CHOICE, **SHORT):
            assert plain(run)["tool_choice"] == WEATHER_CHOICE, run
            assert {call.function.name for call in calls_of(run)} == {"get_weather"}, run
            flows_both.finish(run)


@flow
def options_max_completion_tokens():
    """max_completion_tokens: the run ends with its limit, in the words of the contract."""
    with an_assistant() as assistant:
        question = "Tell me a long story."
        for run in both_ways(assistant, question, max_completion_tokens=3, temperature=0):
            assert run.max_completion_tokens == 3, run
            if SCRIPTED:
                assert run.status == "completed", run
                continue
            assert run.status == LIMIT_HIT, run
            assert run.incomplete_details.reason == "max_completion_tokens", run
            assert 0 < run.usage.completion_tokens <= 3, run.usage
            [answer] = answers_of(run)
            assert answer.status == "incomplete", answer
            assert answer.incomplete_details.reason == "max_tokens", answer


@flow
def options_max_prompt_tokens():
    """max_prompt_tokens: a prompt that cannot be cut to it is not sent."""
    with an_assistant(instructions="Be brief. " * 300) as assistant:
        for run in both_ways(assistant, GREETING, max_prompt_tokens=256):
            assert run.status == LIMIT_HIT, run
            assert run.incomplete_details.reason == "max_prompt_tokens", run
            assert run.usage.total_tokens == 0 and answers_of(run) == [], run


@flow
def options_truncation():
    """truncation_strategy: the model sees the last message alone, so the prompt is short."""
    with an_assistant() as assistant:
        thread = a_thread("One. " * 100, GREETING)
        whole, cut = [
            beta.threads.runs.create_and_poll(
                thread_id=thread.id,
                assistant_id=assistant.id,
                truncation_strategy=strategy,
                poll_interval_ms=50,
                **TEXT_RUN,
            )
            for strategy in ({"type": "auto"}, {"type": "last_messages", "last_messages": 2})
        ]
        for run in (whole, cut):
            conforms(run)
            assert_ended(run)
        assert (whole.truncation_strategy.type, whole.truncation_strategy.last_messages) == ("auto", None)
        assert cut.truncation_strategy.last_messages == 2, cut
        if not SCRIPTED:
            assert cut.usage.prompt_tokens + 100 < whole.usage.prompt_tokens, (cut.usage, whole.usage)


@flow
def options_temperature():
    """temperature 0 and top_p are echoed; nothing random is left."""
    with an_assistant() as assistant:
        # openai 1.20.0 cannot poll with a top_p.
        fields = {**TEXT_RUN, "temperature": 0, **({} if V1 else {"top_p": 0.5})}
        texts = set()
        for run in both_ways(assistant, GREETING, **fields):
            assert run.temperature == 0 and (V1 or plain(run)["top_p"] == 0.5), run
            assert_ended(run)
            texts.add(text_of(answers_of(run)[0]))
        assert len(texts) == 1, texts


@flow
def options_additional_messages():
    """additional_messages become the thread's, in their order."""
    with an_assistant() as assistant:
        messages = [{"role": "assistant", "content": "Yes?"}, {"role": "user", "content": GREETING}]
        for run in both_ways(assistant, "Hi.", additional_messages=messages, **TEXT_RUN):
            assert_ended(run)
            stored = beta.threads.messages.list(run.thread_id, order="asc").data
            assert [message.role for message in stored] == ["user", "assistant", "user", "assistant"], stored
            assert [text_of(message) for message in stored[:3]] == ["Hi.", "Yes?", GREETING], stored


if not V1:
    SCHEMA = {
        "name": "person",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"}},
            "required": ["name", "age"],
            "additionalProperties": False,
        },
    }

    def format_of(value):
        return value.response_format.model_dump(exclude_unset=True, by_alias=True)

    @flow
    def options_json_schema():
        """response_format json_schema, strict"""
        response_format = {"type": "json_schema", "json_schema": SCHEMA}
        with an_assistant(response_format=response_format) as assistant:
            assert format_of(assistant) == response_format, assistant
            for run in both_ways(assistant, "Ada is 36 years old. Who is it?", **SHORT):
                assert format_of(run) == response_format, run
                assert_object(run, {"name", "age"})

    @flow
    def options_tool_choice_required():
        """tool_choice required, with two functions"""
        with an_assistant(tools=[WEATHER, TIME]) as assistant:
            for run in both_ways(assistant, WEATHER_QUESTION, tool_choice="required", **SHORT):
                assert run.tool_choice == "required", run
                assert {call.function.name for call in calls_of(run)} <= {"get_weather", "get_time"}, run
                flows_both.finish(run)

    @flow
    def options_parallel_tool_calls():
        """parallel_tool_calls false: one call at most"""
        question = "call get_weather and call get_time" if SCRIPTED else WEATHER_QUESTION
        with an_assistant(tools=[WEATHER, TIME]) as assistant:
            for run in both_ways(
                assistant, question, tool_choice="required", parallel_tool_calls=False, **SHORT
            ):
                assert run.parallel_tool_calls is False, run
                assert len(calls_of(run)) == 1, run
                flows_both.finish(run)

    @flow
    def options_reasoning_effort():
        """reasoning_effort is echoed and does no harm to a model that does not reason."""
        with an_assistant(reasoning_effort="low") as assistant:
            assert assistant.reasoning_effort == "low", assistant
            for run in both_ways(assistant, GREETING, **TEXT_RUN):
                assert plain(run)["reasoning_effort"] == "low", run
                assert_ended(run)
