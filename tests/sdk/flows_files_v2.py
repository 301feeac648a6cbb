"""Uploads in parts, and what names files in v2: tool resources, attachments, images."""

import asyncio
import base64
import hashlib
import tempfile
from pathlib import Path

import openai
from openai import AsyncOpenAI

from flows_files import NO_SUCH_FILE, a_file, assert_file
from harness import (
    GREETING,
    MODEL,
    SCRIPTED,
    SETTINGS,
    TEXT_RUN,
    WEATHER,
    WEATHER_QUESTION,
    WEATHER_RUN,
    an_assistant,
    answers_of,
    assert_answer,
    assert_ended,
    assert_id,
    assert_same,
    client,
    conforms,
    flow,
    outputs_for,
    calls_of,
    plain,
)

beta = client.beta

CONTENT = b"".join(b"line %d\n" % number for number in range(30_000))
CODE_INTERPRETER = {"type": "code_interpreter"}
# One white pixel.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
)


def an_upload(**fields):
    fields = {"filename": "Größe.txt", "purpose": "assistants", "mime_type": "text/plain", **fields}
    return client.uploads.create(**{"bytes": len(CONTENT), **fields})


def refused(request, *words):
    """A request that is a 400 or a 404, whose error says these words."""
    try:
        answer = request()
    except (openai.BadRequestError, openai.NotFoundError) as error:
        assert error.type == "invalid_request_error", error.body
        said = f"{error.param} {error.body['message']}"
        assert all(word in said for word in words), said
    else:
        raise AssertionError(f"accepted: {answer}")


# Uploads


@flow
def v2_uploads():
    """create, parts.create in any order, complete, with the checksum"""
    upload = conforms(an_upload())
    assert_id("upload", upload.id)
    assert upload.object == "upload" and upload.status == "pending" and upload.file is None, upload
    assert (upload.filename, upload.bytes, upload.purpose) == ("Größe.txt", len(CONTENT), "assistants"), (
        upload
    )
    assert upload.expires_at > upload.created_at, upload

    half = len(CONTENT) // 2
    last = conforms(client.uploads.parts.create(upload.id, data=CONTENT[half:]))
    head = conforms(client.uploads.parts.create(upload.id, data=CONTENT[:half]))
    assert_id("part", head.id)
    assert head.object == "upload.part" and head.upload_id == upload.id, head
    md5 = hashlib.md5(CONTENT).hexdigest()
    completed = conforms(client.uploads.complete(upload.id, part_ids=[head.id, last.id], md5=md5))
    assert (completed.id, completed.status) == (upload.id, "completed"), completed
    assert_file(completed.file, "Größe.txt", len(CONTENT))
    assert_same(completed.file, client.files.retrieve(completed.file.id))
    assert client.files.content(completed.file.id).read() == CONTENT
    refused(lambda: client.uploads.parts.create(upload.id, data=b"late"), upload.id)
    refused(lambda: client.uploads.cancel(upload.id), upload.id)
    client.files.delete(completed.file.id)


@flow
def v2_upload_refusals():
    """Cancelled, of the wrong size, of the wrong checksum, of strange parts"""
    upload = an_upload(bytes=3)
    part = client.uploads.parts.create(upload.id, data=b"abc")
    refused(lambda: client.uploads.complete(upload.id, part_ids=[]))
    refused(lambda: client.uploads.complete(upload.id, part_ids=["part_" + "0" * 24]), "part_" + "0" * 24)
    refused(lambda: client.uploads.complete(upload.id, part_ids=[part.id], md5="0" * 32), "md5")
    # None of that ended the upload.
    cancelled = conforms(client.uploads.cancel(upload.id))
    assert (cancelled.status, cancelled.file) == ("cancelled", None), cancelled
    refused(lambda: client.uploads.complete(upload.id, part_ids=[part.id]))
    refused(lambda: client.uploads.parts.create("upload_" + "0" * 24, data=b"abc"), "upload_" + "0" * 24)
    refused(lambda: an_upload(purpose="world_domination"), "purpose")
    refused(lambda: an_upload(bytes=-1), "bytes")


@flow
def v2_upload_file_chunked():
    """The SDK's helper, from the disk and from memory"""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "Größe.txt")
        path.write_bytes(CONTENT)
        sources = ({"file": path}, {"file": CONTENT, "filename": "Größe.txt", "bytes": len(CONTENT)})
        for source in sources:
            upload = client.uploads.upload_file_chunked(
                **source, mime_type="text/plain", purpose="user_data", part_size=100_000
            )
            assert upload.status == "completed", upload
            assert_file(upload.file, "Größe.txt", len(CONTENT), "user_data")
            assert client.files.content(upload.file.id).read() == CONTENT
            client.files.delete(upload.file.id)


@flow
async def async_uploads():
    """Parts that arrive at once"""
    async with AsyncOpenAI(**SETTINGS) as aclient:
        upload = await aclient.uploads.create(
            filename="parts.txt", purpose="assistants", bytes=len(CONTENT), mime_type="text/plain"
        )
        pieces = [CONTENT[at : at + 50_000] for at in range(0, len(CONTENT), 50_000)]
        parts = await asyncio.gather(
            *(aclient.uploads.parts.create(upload.id, data=piece) for piece in pieces)
        )
        completed = await aclient.uploads.complete(upload.id, part_ids=[part.id for part in parts])
        content = await aclient.files.content(completed.file.id)
        assert content.read() == CONTENT
        await aclient.files.delete(completed.file.id)


# Tool resources and attachments


def code_files(*ids):
    return {"code_interpreter": {"file_ids": list(ids)}}


@flow
def v2_tool_resources():
    """Resources of assistants, threads and runs"""
    first, second = (a_file(name).id for name in ("1.csv", "2.csv"))
    with an_assistant(tools=[CODE_INTERPRETER], tool_resources=code_files(first)) as assistant:
        conforms(assistant)
        assert assistant.tool_resources.code_interpreter.file_ids == [first], assistant
        updated = beta.assistants.update(assistant.id, tool_resources=code_files(second, first))
        assert updated.tool_resources.code_interpreter.file_ids == [second, first], updated
        assert_same(updated, beta.assistants.retrieve(assistant.id))
        # v1 has them as its own.
        seen = beta.assistants.retrieve(assistant.id, extra_headers={"OpenAI-Beta": "assistants=v1"})
        assert plain(seen)["file_ids"] == [second, first], seen

        thread = conforms(beta.threads.create(tool_resources=code_files(first)))
        assert thread.tool_resources.code_interpreter.file_ids == [first], thread
        changed = beta.threads.update(thread.id, tool_resources=code_files(second))
        assert changed.tool_resources.code_interpreter.file_ids == [second], changed
        run = beta.threads.create_and_run_poll(
            assistant_id=assistant.id,
            thread={"messages": [{"role": "user", "content": GREETING}], "tool_resources": code_files(first)},
            tool_resources=code_files(second),
            **TEXT_RUN,
        )
        assert_ended(run, turns=1)
        assert plain(run)["tool_resources"]["code_interpreter"] == {"file_ids": [second]}, run
        thread = beta.threads.retrieve(run.thread_id)
        assert thread.tool_resources.code_interpreter.file_ids == [first], thread
        assert beta.assistants.update(assistant.id, tool_resources=code_files()).tool_resources is not None

        nowhere = code_files(NO_SUCH_FILE)
        refused(lambda: beta.assistants.update(assistant.id, tool_resources=nowhere), NO_SUCH_FILE)
        refused(lambda: beta.assistants.create(model=MODEL, tool_resources=nowhere), NO_SUCH_FILE)
        refused(lambda: beta.threads.create(tool_resources=nowhere), NO_SUCH_FILE)
        too_many = code_files(*[first] * 21)
        refused(lambda: beta.threads.create(tool_resources=too_many), "file_ids", "20")
    for one in (first, second):
        client.files.delete(one)


@flow
def v2_attachments():
    """Attachments of messages in every place where one is made"""
    first, second = (a_file(name).id for name in ("1.csv", "2.csv"))

    def attached(*ids):
        return [{"file_id": one, "tools": [CODE_INTERPRETER]} for one in ids]

    thread = beta.threads.create(
        messages=[{"role": "user", "content": GREETING, "attachments": attached(first)}]
    )
    [message] = beta.threads.messages.list(thread.id)
    assert plain(conforms(message))["attachments"] == attached(first), message
    created = conforms(
        beta.threads.messages.create(
            thread.id, role="user", content=GREETING, attachments=attached(second, first)
        )
    )
    assert plain(created)["attachments"] == attached(second, first), created
    updated = beta.threads.messages.update(created.id, thread_id=thread.id, metadata={"k": "v"})
    assert plain(updated)["attachments"] == attached(second, first), updated
    with an_assistant(tools=[CODE_INTERPRETER]) as assistant:
        run = beta.threads.runs.create_and_poll(
            thread_id=thread.id,
            assistant_id=assistant.id,
            additional_messages=[{"role": "user", "content": GREETING, "attachments": attached(first)}],
            **TEXT_RUN,
        )
        assert_ended(run, turns=1)
        [answer] = answers_of(run)
        assert_answer(answer, run)
        assert answer.attachments == [], answer
    refused(
        lambda: beta.threads.messages.create(
            thread.id, role="user", content="No.", attachments=attached(NO_SUCH_FILE)
        ),
        NO_SUCH_FILE,
    )
    # What is deleted stays named: messages are history.
    client.files.delete(second)
    seen = beta.threads.messages.retrieve(created.id, thread_id=thread.id)
    assert seen.content == created.content, seen
    client.files.delete(first)


# Images


@flow
def v2_images():
    """image_file and image_url parts, read back as they were, and a run over them"""
    image = a_file("dot.png", PNG, purpose="vision")
    data_url = "data:image/png;base64," + base64.b64encode(PNG).decode()
    parts = [
        {"type": "text", "text": GREETING},
        {"type": "image_file", "image_file": {"file_id": image.id, "detail": "low"}},
        {"type": "image_file", "image_file": {"file_id": image.id}},
        {"type": "image_url", "image_url": {"url": data_url, "detail": "high"}},
    ]
    thread = beta.threads.create()
    message = conforms(beta.threads.messages.create(thread.id, role="user", content=parts))
    text, low, auto, url = message.content
    assert text.text.value == GREETING, message
    assert (low.image_file.file_id, low.image_file.detail) == (image.id, "low"), message
    assert (auto.image_file.file_id, auto.image_file.detail) == (image.id, "auto"), message
    assert (url.image_url.url, url.image_url.detail) == (data_url, "high"), message
    assert_same(message, beta.threads.messages.retrieve(message.id, thread_id=thread.id))
    if SCRIPTED:
        # A small real model has no eyes.
        with an_assistant() as assistant:
            run = beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)
            assert_ended(run, turns=1)
    nowhere = [{"type": "image_file", "image_file": {"file_id": NO_SUCH_FILE}}]
    refused(lambda: beta.threads.messages.create(thread.id, role="user", content=nowhere), NO_SUCH_FILE)
    client.files.delete(image.id)


# include[]


@flow
def v2_include():
    """include[] wherever the SDK sends it, and a value that nobody knows"""
    include = ["step_details.tool_calls[*].file_search.results[*].content"]
    with an_assistant(tools=[WEATHER]) as assistant:
        thread = beta.threads.create(messages=[{"role": "user", "content": WEATHER_QUESTION}])
        run = beta.threads.runs.create(
            thread_id=thread.id, assistant_id=assistant.id, include=include, **WEATHER_RUN
        )
        run = beta.threads.runs.poll(run.id, thread_id=thread.id, poll_interval_ms=50)
        calls = calls_of(run)
        where = {"thread_id": thread.id, "run_id": run.id}
        [step] = beta.threads.runs.steps.list(**where, include=include)
        assert step.type == "tool_calls" and len(step.step_details.tool_calls) == len(calls), step
        one = beta.threads.runs.steps.retrieve(step.id, **where, include=include)
        assert_same(one, step)
        refused(lambda: beta.threads.runs.steps.list(**where, include=["everything"]), "include")
        beta.threads.runs.submit_tool_outputs_and_poll(**where, tool_outputs=outputs_for(calls))
        beta.threads.delete(thread.id)
