"""Drives a server that is tried in a container, with the official SDK.

usage: client.py make FILE      objects of every kind, and all that the API says of them into FILE
       client.py compare FILE   the API says the same
       client.py answer TEXT    a run on a new thread; prints the answer
       client.py begin FILE     a run that takes ten seconds, and its ids into FILE
       client.py end FILE       waits for the end of that run, and prints how it ended

The server is that of LOCUM_TEST_URL, the key LOCUM_TEST_KEY; the model is scripts/image/model.py.
"""

import json
import os
import sys
import time
import warnings

os.environ["NO_PROXY"] = "*"

import openai  # noqa: E402

warnings.filterwarnings("ignore", category=DeprecationWarning)

client = openai.OpenAI(
    base_url=os.environ["LOCUM_TEST_URL"], api_key=os.environ["LOCUM_TEST_KEY"], max_retries=0, timeout=120
)
beta = client.beta
TABLE = b"city,people\nParis,2\nRome,3\n"
CODE = """import pandas
cities = pandas.read_csv('/mnt/data/cities.csv')
print(cities['people'].sum())
cities.to_excel('/mnt/data/cities.xlsx')"""


def dump(ids):
    """All that the API says of some objects, their lists and their files' bytes."""
    thread, run = ids["thread"], ids["run"]
    messages = beta.threads.messages.list(thread).to_dict()["data"]
    files = [file for file in client.files.list().to_dict()["data"] if file["id"] in ids["files"]]
    found = client.vector_stores.search(ids["store"], query="Where is the lighthouse?")
    return {
        "assistant": beta.assistants.retrieve(ids["assistant"]).to_dict(),
        "thread": beta.threads.retrieve(thread).to_dict(),
        "messages": messages,
        "run": beta.threads.runs.retrieve(run, thread_id=thread).to_dict(),
        "steps": beta.threads.runs.steps.list(run, thread_id=thread).to_dict()["data"],
        "files": files,
        "contents": {id: client.files.content(id).read().hex() for id in ids["files"]},
        "store": {**client.vector_stores.retrieve(ids["store"]).to_dict(), "last_active_at": None},
        "found": [result.content[0].text for result in found.data],
    }


def make():
    table = client.files.create(file=("cities.csv", TABLE), purpose="assistants")
    text = client.files.create(file=("notes.txt", b"The lighthouse stands on the cape."), purpose="assistants")
    store = client.vector_stores.create(name="notes")
    client.vector_stores.files.create_and_poll(text.id, vector_store_id=store.id, poll_interval_ms=100)
    assistant = beta.assistants.create(
        model="gpt-4o",
        tools=[{"type": "code_interpreter"}, {"type": "file_search"}],
        tool_resources={"file_search": {"vector_store_ids": [store.id]}},
    )
    attached = [{"file_id": table.id, "tools": [{"type": "code_interpreter"}]}]
    message = {"role": "user", "content": f"Run this:\n{CODE}", "attachments": attached}
    thread = beta.threads.create(messages=[message])
    run = beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id, poll_interval_ms=100)
    assert run.status == "completed", run
    [step, _] = beta.threads.runs.steps.list(run.id, thread_id=thread.id, order="asc").data
    [call] = step.step_details.tool_calls
    assert call.code_interpreter.outputs[0].logs == "5\n", call
    answer = beta.threads.messages.list(thread.id).data[0]
    [link] = answer.content[0].text.annotations
    ids = {"assistant": assistant.id, "thread": thread.id, "run": run.id, "store": store.id}
    return {**ids, "files": [table.id, text.id, link.file_path.file_id]}


def answer(text):
    assistant = beta.assistants.create(model="gpt-4o", tools=[{"type": "code_interpreter"}])
    thread = beta.threads.create(messages=[{"role": "user", "content": text}])
    run = beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id, poll_interval_ms=100)
    assert run.status == "completed", run
    return beta.threads.messages.list(thread.id).data[0].content[0].text.value


def begin():
    """Until its first words are stored or streamed: the model is at it then."""
    assistant = beta.assistants.create(model="gpt-4o")
    thread = beta.threads.create(messages=[{"role": "user", "content": "slow"}])
    run = beta.threads.runs.create(thread_id=thread.id, assistant_id=assistant.id)
    while run.status == "queued":
        time.sleep(0.1)
        run = beta.threads.runs.retrieve(run.id, thread_id=thread.id)
    assert run.status == "in_progress", run
    return {"thread": thread.id, "run": run.id}


def end(ids):
    while True:
        run = beta.threads.runs.retrieve(ids["run"], thread_id=ids["thread"])
        if run.status not in ("queued", "in_progress"):
            break
        time.sleep(0.2)
    answers = [m for m in beta.threads.messages.list(ids["thread"]).data if m.role == "assistant"]
    assert len(answers) == 1 and answers[0].content[0].text.value.endswith("49 50 "), answers
    return run.status


def main(command, argument):
    if command == "answer":
        print(answer(argument))
    elif command == "make":
        ids = make()
        with open(argument, "w") as file:
            json.dump({"ids": ids, "said": dump(ids)}, file)
    elif command == "compare":
        with open(argument) as file:
            kept = json.load(file)
        said = dump(kept["ids"])
        different = [name for name in said if said[name] != kept["said"][name]]
        assert not different, {name: (kept["said"][name], said[name]) for name in different}
        print(f"{len(said)} lists and objects are equal")
    elif command == "begin":
        ids = begin()
        with open(argument, "w") as file:
            json.dump(ids, file)
    elif command == "end":
        with open(argument) as file:
            print(end(json.load(file)))
    else:
        sys.exit(__doc__)


main(*sys.argv[1:])
