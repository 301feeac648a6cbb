"""LangChain's assistant classes: OpenAIAssistantRunnable (langchain-classic) and OpenAIAssistantV2Runnable
(langchain-community), in the ways of their documentation.

usage: flows_langchain.py [--list | FLOW...]
"""

import sys

sys.dont_write_bytecode = True

import os  # noqa: E402
import warnings  # noqa: E402

from harness import (  # noqa: E402
    GREETING,
    KEY,
    MODEL,
    SCRIPTED,
    SCRIPTED_TEXT,
    SETTINGS,
    URL,
    WEATHER_QUESTION,
    answers_of,
    client,
    flow,
    main,
    raises,
    text_of,
)

# What the classes make by themselves, such as the asynchronous client, reads the environment.
os.environ |= {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": URL, "LANGSMITH_TRACING": "false"}
warnings.simplefilter("ignore")

import openai  # noqa: E402
from langchain_classic.agents import AgentExecutor  # noqa: E402
from langchain_classic.agents.openai_assistant import OpenAIAssistantRunnable  # noqa: E402
from langchain_classic.agents.openai_assistant.base import (  # noqa: E402
    OpenAIAssistantAction,
    OpenAIAssistantFinish,
)
from langchain_community.agents.openai_assistant import OpenAIAssistantV2Runnable  # noqa: E402
from langchain_core.agents import AgentFinish  # noqa: E402
from langchain_core.callbacks import BaseCallbackHandler  # noqa: E402
from langchain_core.tools import tool  # noqa: E402

# The newest SDK marks the whole API as deprecated, and langchain-core turns its filters back on.
warnings.simplefilter("ignore")

CLASSES = (OpenAIAssistantRunnable, OpenAIAssistantV2Runnable)
CODE_INTERPRETER = {"type": "code_interpreter"}
beta = client.beta


@tool
def get_weather(city: str) -> str:
    """Get the current weather of a city"""
    return "sunny"


@tool
def get_time(city: str) -> str:
    """Get the current time of a city"""
    return "noon"


TOOLS = [get_weather, get_time]
TWO_CALLS = "call get_weather and call get_time"


def an_assistant(kind, tools=(), **fields):
    """An assistant of the class, which asks for a run's state twenty times a second."""
    assistant = kind.create_assistant(
        name="langchain assistant",
        instructions="Answer in one short sentence.",
        tools=list(tools),
        model=MODEL,
        check_every_ms=50,
        **fields,
    )
    calm(assistant)
    return assistant


def calm(assistant):
    """A small real model rambles at its usual temperature, and the classes bound no run."""
    if not SCRIPTED:
        beta.assistants.update(assistant.assistant_id, temperature=0)


def text(messages):
    """The text of the one message that an invocation returned."""
    [message] = messages
    assert message.role == "assistant", message
    answer = text_of(message)
    assert answer == SCRIPTED_TEXT if SCRIPTED else answer, answer
    return answer


# One invocation


@flow
def created():
    """create_assistant makes the assistant that its arguments describe."""
    for kind in CLASSES:
        assistant = an_assistant(kind, [CODE_INTERPRETER, *TOOLS])
        stored = beta.assistants.retrieve(assistant.assistant_id)
        assert (stored.name, stored.model) == ("langchain assistant", MODEL), stored
        assert [one.type for one in stored.tools] == ["code_interpreter", "function", "function"], stored
        assert stored.tools[1].function.name == "get_weather", stored
        assert stored.tools[1].function.parameters["required"] == ["city"], stored
        beta.assistants.delete(stored.id)


@flow
def invoked():
    """A new thread with its run, and then another run in the same thread"""
    for kind in CLASSES:
        assistant = an_assistant(kind, client=openai.OpenAI(**SETTINGS))
        messages = assistant.invoke(
            {
                "content": GREETING,
                "message_metadata": {"from": "message"},
                "thread_metadata": {"from": "thread"},
            }
        )
        text(messages)
        thread_id = messages[0].thread_id
        assert beta.threads.retrieve(thread_id).metadata == {"from": "thread"}
        again = assistant.invoke({"content": GREETING, "thread_id": thread_id, "instructions": "Be brief."})
        text(again)
        assert again[0].thread_id == thread_id and again[0].id != messages[0].id, again
        runs = beta.threads.runs.list(thread_id).data
        assert [run.instructions for run in runs] == ["Be brief.", "Answer in one short sentence."], runs
        questions = [one for one in beta.threads.messages.list(thread_id, order="asc") if one.role == "user"]
        assert [text_of(one) for one in questions] == [GREETING, GREETING], questions
        assert questions[0].metadata == {"from": "message"}, questions


@flow
def overridden():
    """What the input says goes before what the assistant has."""
    assistant = an_assistant(OpenAIAssistantRunnable, TOOLS)
    [message] = assistant.invoke(
        {
            "content": GREETING,
            "model": MODEL,
            "tools": [],
            "temperature": 0.5,
            "top_p": 0.5,
            "max_completion_tokens": 500,
            "max_prompt_tokens": 2000,
            "parallel_tool_calls": False,
        }
    )
    run = beta.threads.runs.retrieve(message.run_id, thread_id=message.thread_id)
    assert (run.tools, run.temperature, run.top_p, run.parallel_tool_calls) == ([], 0.5, 0.5, False), run
    assert (run.max_completion_tokens, run.max_prompt_tokens) == (500, 2000), run


@flow
def refused():
    """The SDK's errors come through."""
    for kind in CLASSES:
        gone = kind(assistant_id="asst_" + "0" * 24, client=client)
        with raises(openai.NotFoundError, "No assistant found with id 'asst_0+'\\."):
            gone.invoke({"content": GREETING})


class Recorder(BaseCallbackHandler):
    def __init__(self):
        self.fired = []

    def on_chain_start(self, serialized, inputs, **rest):
        self.fired.append("start")

    def on_chain_end(self, outputs, **rest):
        self.fired.append("end")


@flow
def as_runnable():
    """batch, stream, callbacks and the pipe, as every Runnable has them"""
    for kind in CLASSES:
        assistant = an_assistant(kind)
        answers = assistant.batch([{"content": GREETING}, {"content": GREETING}])
        assert len({text(answer) and answer[0].thread_id for answer in answers}) == 2, answers
        [chunk] = assistant.stream({"content": GREETING})
        text(chunk)
        recorder = Recorder()
        chain = assistant | (lambda messages: text(messages).upper())
        said = chain.invoke({"content": GREETING}, config={"callbacks": [recorder]})
        assert said == SCRIPTED_TEXT.upper() if SCRIPTED else said, said
        assert recorder.fired.count("start") == recorder.fired.count("end") >= 2, recorder.fired


# Function calls


@flow(scripted=True)
def calls():
    """The calls of a run as they are, and their outputs by hand"""
    for kind in CLASSES:
        assistant = an_assistant(kind, TOOLS)
        thread = beta.threads.create()
        asked = assistant.invoke({"content": TWO_CALLS, "thread_id": thread.id})
        assert [call.function.name for call in asked] == ["get_weather", "get_time"], asked
        [run] = beta.threads.runs.list(thread.id)
        outputs = [{"tool_call_id": call.id, "output": call.function.name} for call in asked]
        [message] = assistant.invoke({"tool_outputs": outputs, "run_id": run.id, "thread_id": thread.id})
        assert text_of(message) == "Tool said: get_weather, get_time", message


def execute_agent(agent, tools, input):
    """The loop of the documentation"""
    tool_map = {one.name: one for one in tools}
    response = agent.invoke(input)
    rounds = 0
    while not isinstance(response, AgentFinish):
        rounds += 1
        assert rounds <= 5, "the model calls on and on"
        tool_outputs = []
        for action in response:
            assert isinstance(action, OpenAIAssistantAction), action
            tool_output = tool_map[action.tool].invoke(action.tool_input)
            tool_outputs.append({"output": tool_output, "tool_call_id": action.tool_call_id})
        response = agent.invoke(
            {"tool_outputs": tool_outputs, "run_id": action.run_id, "thread_id": action.thread_id}
        )
    return response, rounds


# LangChain does not say which function to call, and a small real model calls as it likes.
@flow(scripted=True)
def agent_loop():
    """The documentation's own loop, and its next question in the same thread"""
    for kind in CLASSES:
        agent = an_assistant(kind, [get_weather], as_agent=True)
        response, rounds = execute_agent(agent, TOOLS, {"content": WEATHER_QUESTION})
        assert isinstance(response, OpenAIAssistantFinish) and rounds == 1, response
        assert response.return_values["thread_id"] == response.thread_id, response
        assert response.return_values["run_id"] == response.run_id, response
        assert response.return_values["output"] == "Tool said: sunny", response
        following, rounds = execute_agent(
            agent, TOOLS, {"content": GREETING, "thread_id": response.thread_id}
        )
        assert following.thread_id == response.thread_id and rounds == 0, following
        assert following.return_values["output"] == SCRIPTED_TEXT, following


@flow(scripted=True)
def agent_executor():
    """AgentExecutor carries out the calls, several of one reply too, and is streamed."""
    for kind in CLASSES:
        agent = an_assistant(kind, TOOLS, as_agent=True)
        executor = AgentExecutor(agent=agent, tools=TOOLS, return_intermediate_steps=True)
        result = executor.invoke({"content": TWO_CALLS})
        assert result["output"] == "Tool said: sunny, noon", result
        steps = [(action.tool, action.tool_input, output) for action, output in result["intermediate_steps"]]
        assert steps == [
            ("get_weather", {"city": "Paris"}, "sunny"),
            ("get_time", {"city": "Paris"}, "noon"),
        ], steps
        # The answer of an agent counts the attachments of what it wrote.
        assert result["attachments"] == [], result
        chunks = list(executor.stream({"content": "call get_weather"}))
        assert [sorted(set(chunk) - {"messages"}) for chunk in chunks] == [
            ["actions"],
            ["steps"],
            sorted({"output", "thread_id", "run_id", "attachments", "intermediate_steps"}),
        ], chunks
        assert chunks[-1]["output"] == "Tool said: sunny", chunks
        run = beta.threads.runs.retrieve(chunks[-1]["run_id"], thread_id=chunks[-1]["thread_id"])
        assert run.status == "completed", run
        assert [text_of(one) for one in answers_of(run)] == ["Tool said: sunny"]


# Asynchronous


@flow
async def async_invoked():
    """acreate_assistant and ainvoke, with a client of one's own and with the one that the class makes"""
    async with openai.AsyncOpenAI(**SETTINGS) as aclient:
        assistant = await OpenAIAssistantV2Runnable.acreate_assistant(
            name="async",
            instructions="Answer in one short sentence.",
            tools=[],
            model=MODEL,
            async_client=aclient,
            check_every_ms=50,
        )
        calm(assistant)
        messages = await assistant.ainvoke({"content": GREETING})
        text(messages)
        text(await assistant.ainvoke({"content": GREETING, "thread_id": messages[0].thread_id}))
    text(await an_assistant(OpenAIAssistantV2Runnable).ainvoke({"content": GREETING}))


@flow(scripted=True)
async def async_agent():
    """AgentExecutor, awaited"""
    agent = an_assistant(OpenAIAssistantV2Runnable, TOOLS, as_agent=True)
    result = await AgentExecutor(agent=agent, tools=TOOLS).ainvoke({"content": TWO_CALLS})
    assert result["output"] == "Tool said: sunny, noon", result


@flow(scripted=True)
async def async_calls():
    """The first class reads a completed run's messages as no asynchronous SDK returns them (it iterates over
    the fields of a page), so it is driven as far as its calls."""
    agent = await OpenAIAssistantRunnable.acreate_assistant(
        name="async", instructions="Call.", tools=TOOLS, model=MODEL, as_agent=True, client=client
    )
    actions = await agent.ainvoke({"content": TWO_CALLS})
    assert [action.tool for action in actions] == ["get_weather", "get_time"], actions
    run = beta.threads.runs.retrieve(actions[0].run_id, thread_id=actions[0].thread_id)
    assert run.status == "requires_action", run
    beta.threads.runs.cancel(run.id, thread_id=run.thread_id)


# Files, which the V2 class hands on


@flow
def files():
    """tool_resources of the assistant, attachments of a message"""
    file = client.files.create(file=("data.csv", b"a,b\n1,2\n"), purpose="assistants")
    resources = {"code_interpreter": {"file_ids": [file.id]}}
    assistant = an_assistant(OpenAIAssistantV2Runnable, [CODE_INTERPRETER], tool_resources=resources)
    stored = beta.assistants.retrieve(assistant.assistant_id)
    assert stored.tool_resources.code_interpreter.file_ids == [file.id], stored
    attachment = {"file_id": file.id, "tools": [CODE_INTERPRETER]}
    run = {"content": GREETING, "tools": []}
    for invoke in (assistant.invoke, OpenAIAssistantRunnable(assistant_id=stored.id).invoke):
        # The V2 class takes attachments as an argument, the first class within the input.
        v2 = invoke == assistant.invoke
        [message] = (
            invoke(run, attachments=[attachment]) if v2 else invoke({**run, "attachments": [attachment]})
        )
        [question] = [one for one in beta.threads.messages.list(message.thread_id).data if one.role == "user"]
        assert [one.file_id for one in question.attachments] == [file.id], question
        assert [one.type for one in question.attachments[0].tools] == ["code_interpreter"], question
    client.files.delete(file.id)


main()
