"""The last Python SDK that sends `assistants=v1`.

usage: flows_v1.py [--list | FLOW...]
"""

import sys

sys.dont_write_bytecode = True

import openai  # noqa: E402

import flows_both  # noqa: E402, F401
import flows_code  # noqa: E402, F401
import flows_files  # noqa: E402, F401
import flows_files_v1  # noqa: E402, F401
import flows_options  # noqa: E402, F401
import flows_search_v1  # noqa: E402, F401
from harness import (  # noqa: E402
    GREETING,
    MODEL,
    TEXT_RUN,
    WEATHER,
    a_thread,
    an_assistant,
    answers_of,
    assert_answer,
    assert_ended,
    assert_same,
    client,
    conforms,
    flow,
    main,
    plain,
    raises,
    steps_of,
)

assert openai.__version__ == "1.20.0", openai.__version__
beta = client.beta

V2_FIELDS = {"tool_resources", "attachments"}


def assert_v1(value):
    """An object that holds files, as v1 has them: `file_ids`, and none of v2's fields"""
    conforms(value)
    assert value.file_ids == [], value
    assert not V2_FIELDS & set(plain(value)), plain(value)


@flow
def v1_assistant_shape():
    """Tools as v1 has them, `retrieval` among them"""
    with an_assistant(
        tools=[{"type": "code_interpreter"}, {"type": "retrieval"}, WEATHER], file_ids=[]
    ) as assistant:
        assert_v1(assistant)
        assert [tool.type for tool in assistant.tools] == ["code_interpreter", "retrieval", "function"], (
            assistant
        )
        assert plain(assistant)["tools"][1] == {"type": "retrieval"}, assistant
        assert_same(assistant, beta.assistants.retrieve(assistant.id))
        listed = next(one for one in beta.assistants.list() if one.id == assistant.id)
        assert_same(assistant, listed)
        updated = beta.assistants.update(assistant.id, tools=[{"type": "retrieval"}])
        assert_v1(updated)
        assert [tool.type for tool in updated.tools] == ["retrieval"], updated


@flow
def v1_thread_and_message_shape():
    thread = a_thread("One")
    assert "tool_resources" not in plain(thread), thread
    [message] = beta.threads.messages.list(thread.id)
    assert_v1(message)
    created = beta.threads.messages.create(thread.id, role="user", content="Two", file_ids=[])
    assert_v1(created)
    said = beta.threads.messages.create(thread.id, role="assistant", content="Three")
    assert_v1(said)
    assert said.role == "assistant", said


@flow
def v1_run_shape():
    """A run of an assistant with `retrieval`, which answers without it while nothing is attached"""
    with an_assistant(tools=[{"type": "retrieval"}]) as assistant:
        thread = a_thread(GREETING)
        run = beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id, **TEXT_RUN)
        assert_ended(run, turns=1)
        assert_v1(run)
        assert plain(run)["tools"] == [{"type": "retrieval"}], run
        [answer] = answers_of(run)
        assert_answer(answer, run)
        assert_v1(answer)
        assert [step.type for step in steps_of(run)] == ["message_creation"]


@flow
def v1_stream_shape():
    """The objects of a stream are v1's too."""
    with an_assistant(tools=[{"type": "retrieval"}]) as assistant:
        events = list(
            beta.threads.create_and_run(
                assistant_id=assistant.id,
                thread={"messages": [{"role": "user", "content": GREETING}]},
                stream=True,
                **TEXT_RUN,
            )
        )
        for event in events:
            conforms(event)
            assert not V2_FIELDS & set(plain(event.data)), event
            if event.data.object in ("thread.run", "thread.message"):
                assert_v1(event.data)


@flow
def v1_refuses_v2():
    """What only v2 knows is refused, and the error says which header would take it."""
    for fields in (
        {"extra_body": {"tool_resources": {"code_interpreter": {"file_ids": []}}}},
        {"tools": [{"type": "file_search"}]},
    ):
        try:
            beta.assistants.create(model=MODEL, **fields)
        except openai.BadRequestError as error:
            assert error.type == "invalid_request_error", error.body
            if "extra_body" in fields:
                assert "OpenAI-Beta" in error.body["message"], error.body
        else:
            raise AssertionError(f"{fields} was accepted")
    with raises(openai.BadRequestError, ".*file_ids.*", code="unknown_parameter", param="file_ids"):
        beta.assistants.create(model=MODEL, file_ids=[], extra_headers={"OpenAI-Beta": "assistants=v2"})


main()
