"""`code_interpreter` through both generations of the Python SDK: a table in, an answer, a picture and a table out."""

from openai import AssistantEventHandler

from flows_files import a_file
from harness import (
    MODEL,
    RUN_COMPLETED,
    RUN_START,
    TEXT_STEP,
    V1,
    an_assistant,
    answers_of,
    assert_ended,
    assert_id,
    assert_order,
    client,
    conforms,
    flow,
    plain,
    steps_of,
)

beta = client.beta

TOOL = {"type": "code_interpreter"}
CITIES = b"city,people\nParis,2\nRome,3\n"
CODE = """import matplotlib.pyplot as plt
import pandas as pd

cities = pd.read_csv('/mnt/data/cities.csv')
print(cities['people'].sum())
cities.plot(x='city', y='people', kind='bar')
plt.savefig('/mnt/data/plot.png')
cities.assign(double=cities['people'] * 2).to_csv('/mnt/data/doubled.csv', index=False)"""
DOUBLED = b"city,people,double\nParis,2,4\nRome,3,6\n"
PNG = b"\x89PNG\r\n\x1a\n"

CODE_STEP = [
    "thread.run.step.created",
    "thread.run.step.in_progress",
    "thread.run.step.delta",
    "thread.run.step.completed",
]


def a_thread_with(file):
    """A thread whose user asks to run `CODE` on a file."""
    message = {"role": "user", "content": f"Run this:\n{CODE}"}
    attached = {"file_ids": [file.id]} if V1 else {"attachments": [{"file_id": file.id, "tools": [TOOL]}]}
    return beta.threads.create(messages=[{**message, **attached}])


def code_of(steps):
    """The only call of a run's steps, checked."""
    [step] = [step for step in steps if step.type == "tool_calls"]
    [call] = step.step_details.tool_calls
    conforms(call)
    assert_id("call", call.id)
    assert (call.type, call.code_interpreter.input) == ("code_interpreter", CODE), call
    return call


def assert_outputs(call):
    """Logs, then the picture; returns the file of that."""
    logs, image = call.code_interpreter.outputs
    assert (logs.type, logs.logs) == ("logs", "5\n"), call
    assert image.type == "image", call
    assert_id("file", image.image.file_id, separator="-")
    return image.image.file_id


def assert_written(message, image):
    """The picture, then a text that links both files; returns what it links."""
    conforms(message)
    picture, part = message.content
    assert (picture.type, picture.image_file.file_id) == ("image_file", image), message
    text = part.text
    assert text.value.startswith("Größe 🌍: found in 5, ["), message
    linked = {}
    for annotation in text.annotations:
        assert annotation.type == "file_path", annotation
        assert text.value[annotation.start_index : annotation.end_index] == annotation.text, annotation
        linked[annotation.text] = annotation.file_path.file_id
    paths = ["sandbox:/mnt/data/doubled.csv", "sandbox:/mnt/data/plot.png"]
    assert sorted(linked) == paths, linked
    assert linked[paths[1]] == image, linked
    files = set(message.file_ids) if V1 else {one.file_id for one in message.attachments}
    assert files == set(linked.values()), message
    return linked[paths[0]], image


def assert_downloads(table, picture):
    """Both files are there by their ids, and say what they are."""
    for file_id, name in ((table, "doubled.csv"), (picture, "plot.png")):
        file = conforms(client.files.retrieve(file_id))
        assert (file.filename, file.purpose) == (name, "assistants_output"), file
    assert client.files.content(table).read() == DOUBLED
    assert client.files.content(picture).read().startswith(PNG)


@flow(scripted=True)
def code():
    """A run that is polled: its step, its message, and the files that code has written"""
    file = a_file("cities.csv", CITIES)
    with an_assistant(tools=[TOOL]) as assistant:
        assert assistant.tools[0].type == "code_interpreter", assistant
        thread = a_thread_with(file)
        run = beta.threads.runs.create_and_poll(
            thread_id=thread.id, assistant_id=assistant.id, poll_interval_ms=50
        )
        assert_ended(run, turns=2)
        image = assert_outputs(code_of(steps_of(run)))
        [answer] = answers_of(run)
        table, picture = assert_written(answer, image)
        assert_downloads(table, picture)
        # The next run of the thread still has the variables.
        beta.threads.messages.create(thread.id, role="user", content="Run this:\nprint(len(cities))")
        run = beta.threads.runs.create_and_poll(
            thread_id=thread.id, assistant_id=assistant.id, poll_interval_ms=50
        )
        [call] = [step for step in steps_of(run) if step.type == "tool_calls"][0].step_details.tool_calls
        assert [output.logs for output in call.code_interpreter.outputs] == ["2\n"], call
    for one in (file.id, table, picture):
        client.files.delete(one)


class Recorder(AssistantEventHandler):
    def __init__(self):
        super().__init__()
        self.events, self.done, self.messages, self.pictures = [], [], [], []
        self.input, self.outputs, self.text = "", [], ""

    def on_event(self, event):
        self.events.append(event)

    def on_tool_call_delta(self, delta, snapshot):
        self.input += delta.code_interpreter.input or ""
        self.outputs += delta.code_interpreter.outputs or []

    def on_tool_call_done(self, tool_call):
        self.done.append(tool_call.model_copy(deep=True))

    def on_image_file_done(self, image_file):
        self.pictures.append(image_file.file_id)

    def on_text_delta(self, delta, snapshot):
        self.text += delta.value or ""

    def on_message_done(self, message):
        self.messages.append(message)


@flow(scripted=True)
def code_stream():
    """The stream helper: code as it is written, logs and images, links in the text"""
    file = a_file("cities.csv", CITIES)
    file_ids = {"file_ids": [file.id]}
    resources = file_ids if V1 else {"tool_resources": {"code_interpreter": file_ids}}
    assistant = beta.assistants.create(model=MODEL, tools=[TOOL], **resources)
    thread = beta.threads.create(messages=[{"role": "user", "content": f"Run this:\n{CODE}"}])
    recorder = Recorder()
    start = beta.threads.runs.create_and_stream if V1 else beta.threads.runs.stream
    with start(thread_id=thread.id, assistant_id=assistant.id, event_handler=recorder) as stream:
        stream.until_done()
    assert_order(recorder.events, RUN_START + CODE_STEP + TEXT_STEP + RUN_COMPLETED)
    run = recorder.events[-1].data
    call = code_of(steps_of(run))
    image = assert_outputs(call)
    # What the pieces say, and what the helper puts together, is what is stored.
    assert recorder.input == CODE, recorder.input
    assert [output.index for output in recorder.outputs] == [0, 1], recorder.outputs
    told = [{key: value for key, value in plain(one).items() if key != "index"} for one in recorder.outputs]
    assert told == [plain(output) for output in call.code_interpreter.outputs], told
    assert recorder.done and recorder.done[-1].id == call.id, recorder.done
    [message] = recorder.messages
    assert recorder.pictures == [image], recorder.pictures
    assert recorder.text == message.content[1].text.value, recorder.text
    assert plain(message) == plain(answers_of(run)[0])
    assert_downloads(*assert_written(message, image))
    beta.assistants.delete(assistant.id)
