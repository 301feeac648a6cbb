"""LlamaIndex's OpenAIAssistantAgent.

usage: flows_llamaindex.py [--list | FLOW...]
"""

import sys

sys.dont_write_bytecode = True

import os  # noqa: E402
import tempfile  # noqa: E402
from pathlib import Path  # noqa: E402

from harness import (  # noqa: E402
    GREETING,
    KEY,
    MODEL,
    SCRIPTED,
    SCRIPTED_TEXT,
    URL,
    WEATHER_QUESTION,
    client,
    flow,
    main,
    raises,
    text_of,
)

# The agent makes its own client, from the environment.
os.environ |= {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": URL}

import openai  # noqa: E402
from llama_index.agent.openai import OpenAIAssistantAgent  # noqa: E402
from llama_index.core.base.llms.types import MessageRole  # noqa: E402
from llama_index.core.tools import FunctionTool  # noqa: E402

beta = client.beta


def get_weather(city: str) -> str:
    """Get the current weather of a city"""
    return "sunny"


async def get_time(city: str) -> str:
    """Get the current time of a city"""
    return "noon"


WEATHER = FunctionTool.from_defaults(fn=get_weather)
TIME = FunctionTool.from_defaults(async_fn=get_time)
CODE_INTERPRETER = {"type": "code_interpreter"}


def an_agent(**fields):
    fields = {"instructions": "Answer in one short sentence.", "run_retrieve_sleep_time": 0.05, **fields}
    # A small real model rambles at its usual temperature, and the agent bounds no run.
    fields.setdefault("temperature", None if SCRIPTED else 0)
    return OpenAIAssistantAgent.from_new(name="Agent", model=MODEL, **fields)


def assert_answer(response, text=SCRIPTED_TEXT):
    assert response.response == text if SCRIPTED else response.response, response


@flow
def from_new():
    """The assistant that from_new makes, and what chat leaves in its thread"""
    agent = an_agent(tools=[WEATHER], openai_tools=[CODE_INTERPRETER], top_p=0.5, temperature=0.2)
    stored = beta.assistants.retrieve(agent.assistant.id)
    assert [tool.type for tool in stored.tools] == ["code_interpreter", "function"], stored
    assert stored.tools[1].function.name == "get_weather", stored
    assert (stored.top_p, stored.temperature) == (0.5, 0.2), stored
    # What from_new leaves out it sends as null.
    plain = beta.assistants.retrieve(an_agent(temperature=None).assistant.id)
    assert (plain.top_p, plain.temperature, plain.tools) == (1, 1, []), plain
    beta.assistants.delete(stored.id)
    beta.assistants.delete(plain.id)


@flow
def chat():
    """Two questions in one thread, the history, and a new thread after reset"""
    agent = an_agent()
    assert_answer(agent.chat(GREETING))
    assert_answer(agent.chat(GREETING))
    history = agent.chat_history
    assert [one.role for one in history] == [MessageRole.USER, MessageRole.ASSISTANT] * 2, history
    assert history[0].content == GREETING and history[1].content, history
    assert agent.latest_message.content == history[-1].content, history
    assert history[1].additional_kwargs["assistant_id"] == agent.assistant.id, history

    before = agent.thread_id
    agent.reset()
    assert agent.thread_id != before and agent.chat_history == [], agent.chat_history
    with raises(openai.NotFoundError, f"No thread found with id '{before}'\\."):
        beta.threads.retrieve(before)
    assert_answer(agent.chat(GREETING))


@flow
def from_existing():
    """Another agent of the same assistant, in the same thread"""
    first = an_agent()
    first.chat(GREETING)
    second = OpenAIAssistantAgent.from_existing(
        first.assistant.id,
        thread_id=first.thread_id,
        instructions_prefix="Be kind.",
        run_retrieve_sleep_time=0.05,
    )
    assert_answer(second.chat(GREETING))
    runs = beta.threads.runs.list(first.thread_id).data
    assert [run.instructions for run in runs] == ["Be kind.", "Answer in one short sentence."], runs
    with raises(openai.NotFoundError, "No assistant found with id 'asst_0+'\\."):
        OpenAIAssistantAgent.from_existing("asst_" + "0" * 24)


@flow(scripted=True)
def function_call():
    """The agent carries out what the model calls."""
    agent = an_agent(tools=[WEATHER, TIME])
    response = agent.chat(WEATHER_QUESTION)
    assert_answer(response, "Tool said: sunny")
    [source] = response.sources
    assert (source.tool_name, source.content) == ("get_weather", "sunny"), source
    assert source.raw_input["kwargs"] == {"city": "Paris"}, source

    response = agent.chat("say first, then call get_weather")
    assert_answer(response, "Tool said: sunny")
    texts = [one.content for one in agent.chat_history]
    assert texts[-2:] == ["Let me look.", "Tool said: sunny"], texts


@flow
async def async_chat():
    """achat, with calls of both kinds of functions"""
    agent = an_agent()
    assert_answer(await agent.achat(GREETING))
    if SCRIPTED:
        agent = an_agent(tools=[WEATHER, TIME])
        response = await agent.achat("call get_weather and call get_time")
        assert_answer(response, "Tool said: sunny, noon")
        assert [source.tool_name for source in response.sources] == ["get_weather", "get_time"], response


@flow
def files():
    """Files from the disk, and messages that bring them along"""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "Grüße.csv")
        path.write_text("a,b\n1,2\n")
        agent = an_agent(openai_tools=[CODE_INTERPRETER], files=[str(path)])
        [file_id] = agent.files_dict
        assert agent.files_dict[file_id] == str(path), agent.files_dict
        [other] = agent.upload_files([str(path)])
    file = client.files.retrieve(file_id)
    assert (file.filename, file.bytes, file.purpose) == ("Grüße.csv", 8, "assistants"), file
    message = agent.add_message("Read.", file_ids=[file_id, other], tools=[CODE_INTERPRETER])
    assert text_of(message) == "Read.", message
    assert [one.file_id for one in message.attachments] == [file_id, other], message
    assert [one.tools[0].type for one in message.attachments] == ["code_interpreter"] * 2, message
    for one in (file_id, other):
        client.files.delete(one)


main()
