"""The newest Python SDK that carries the Assistants API (`assistants=v2`).

usage: flows_v2.py [--list | FLOW...]
"""

import sys

sys.dont_write_bytecode = True

import openai  # noqa: E402

import flows_both  # noqa: E402, F401
import flows_code  # noqa: E402, F401
import flows_files  # noqa: E402, F401
import flows_files_v2  # noqa: E402, F401
import flows_models  # noqa: E402, F401
import flows_options  # noqa: E402, F401
import flows_search_v2  # noqa: E402, F401
import flows_vector_stores  # noqa: E402, F401
from harness import (  # noqa: E402
    CALL_RUN,
    GREETING,
    MODEL,
    TEXT_RUN,
    WEATHER,
    a_thread,
    an_assistant,
    assert_ended,
    assert_same,
    calls_of,
    client,
    conforms,
    flow,
    main,
    plain,
    raises,
    text_of,
)

assert openai.__version__ == "3.54.0", openai.__version__
beta = client.beta


@flow
def v2_assistant_shape():
    """Tools and their resources as v2 has them"""
    with an_assistant(
        tools=[
            {"type": "code_interpreter"},
            {"type": "file_search", "file_search": {"max_num_results": 7}},
            WEATHER,
        ],
        tool_resources={"code_interpreter": {"file_ids": []}},
        temperature=0.3,
        top_p=0.9,
        response_format={"type": "text"},
    ) as assistant:
        conforms(assistant)
        assert [tool.type for tool in assistant.tools] == ["code_interpreter", "file_search", "function"], (
            assistant
        )
        assert assistant.tools[1].file_search.max_num_results == 7, assistant
        assert assistant.tools[2].function.strict is False, assistant
        assert assistant.tool_resources.code_interpreter.file_ids == [], assistant
        assert (assistant.temperature, assistant.top_p) == (0.3, 0.9), assistant
        assert assistant.response_format.type == "text", assistant
        assert "file_ids" not in plain(assistant), assistant
        assert_same(assistant, beta.assistants.retrieve(assistant.id))

    with an_assistant() as assistant:
        assert (assistant.temperature, assistant.top_p) == (1, 1), assistant
        assert assistant.tools == [] and assistant.metadata == {}, assistant
        assert assistant.response_format == "auto", assistant


@flow
def v2_message_shape():
    """Content in parts, attachments, images by URL"""
    image = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}
    thread = conforms(
        beta.threads.create(messages=[{"role": "user", "content": [{"type": "text", "text": "Look"}]}])
    )
    assert "tool_resources" in plain(thread), thread
    message = conforms(
        beta.threads.messages.create(
            thread.id, role="user", content=[{"type": "text", "text": "And?"}, image], attachments=[]
        )
    )
    assert [part.type for part in message.content] == ["text", "image_url"], message
    assert message.content[0].text.value == "And?", message
    assert message.content[1].image_url.url == image["image_url"]["url"], message
    assert message.content[1].image_url.detail == "auto", message
    assert message.attachments == [] and "file_ids" not in plain(message), message
    said = conforms(beta.threads.messages.create(thread.id, role="assistant", content="I see a cat."))
    assert said.role == "assistant", said
    texts = [
        text_of(one) for one in beta.threads.messages.list(thread.id, order="asc") if len(one.content) == 1
    ]
    assert texts == ["Look", "I see a cat."], texts


@flow
def v2_message_delete():
    thread = a_thread("One", "Two", "Three")
    newest, middle, oldest = beta.threads.messages.list(thread.id).data
    deleted = conforms(beta.threads.messages.delete(middle.id, thread_id=thread.id))
    assert plain(deleted) == {"id": middle.id, "object": "thread.message.deleted", "deleted": True}, deleted
    assert [one.id for one in beta.threads.messages.list(thread.id)] == [newest.id, oldest.id]
    with raises(openai.NotFoundError, f"No message found with id '{middle.id}'\\."):
        beta.threads.messages.retrieve(middle.id, thread_id=thread.id)
    # A cursor whose message is gone still works.
    assert [one.id for one in beta.threads.messages.list(thread.id, after=middle.id)] == [oldest.id]


@flow
def v2_run_shape():
    """The fields of a v2 run, and what it echoes"""
    with an_assistant() as assistant:
        thread = a_thread(GREETING)
        run = beta.threads.runs.create_and_poll(
            thread_id=thread.id,
            assistant_id=assistant.id,
            parallel_tool_calls=False,
            response_format={"type": "text"},
            top_p=0.5,
            **TEXT_RUN,
        )
        assert_ended(run, turns=1)
        assert run.parallel_tool_calls is False and run.top_p == 0.5, run
        assert run.response_format.type == "text", run
        assert run.tool_choice == "auto", run
        assert plain(run)["truncation_strategy"] == {"type": "auto", "last_messages": None}, run
        assert "file_ids" not in plain(run) and "tool_resources" in plain(run), run
        usage = plain(run)["usage"]
        assert usage["prompt_token_details"] == {"cached_tokens": 0}, usage
        assert usage["completion_tokens_details"] == {"reasoning_tokens": 0}, usage


@flow
def v2_required_call():
    """tool_choice `required`"""
    with an_assistant(tools=[WEATHER]) as assistant:
        thread = a_thread("What is the weather in Paris right now?")
        run = beta.threads.runs.create_and_poll(
            thread_id=thread.id, assistant_id=assistant.id, tool_choice="required", **CALL_RUN
        )
        assert run.tool_choice == "required", run
        assert calls_of(run)[0].function.name == "get_weather", run
        flows_both.finish(run)


@flow
def v2_request_id():
    """The newest SDK puts the request's id on every object."""
    listed = beta.assistants.list(limit=1)
    assert listed._request_id.startswith("req_"), listed._request_id
    assistant = beta.assistants.create(model=MODEL)
    assert assistant._request_id.startswith("req_"), assistant._request_id
    beta.assistants.delete(assistant.id)


main()
