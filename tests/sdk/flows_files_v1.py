"""Files of assistants and messages, as v1 has them."""

import openai

from flows_files import NO_SUCH_FILE, a_file
from harness import (
    GREETING,
    MODEL,
    TEXT_RUN,
    an_assistant,
    assert_ended,
    assert_same,
    client,
    conforms,
    flow,
    plain,
    raises,
)

beta = client.beta
V2 = {"extra_headers": {"OpenAI-Beta": "assistants=v2"}}


def three_files():
    return [a_file(f"{number}.txt") for number in range(3)]


def delete(files):
    for file in files:
        client.files.delete(file.id)


@flow
def v1_assistant_files():
    """beta.assistants.files: create, retrieve, list, delete"""
    files = three_files()
    first, second, third = ids = [file.id for file in files]
    with an_assistant(tools=[{"type": "retrieval"}], file_ids=[first]) as assistant:
        assert assistant.file_ids == [first], assistant
        attached = conforms(beta.assistants.files.create(assistant.id, file_id=second))
        assert attached.object == "assistant.file" and attached.created_at, attached
        assert (attached.id, attached.assistant_id) == (second, assistant.id), attached
        assert_same(attached, beta.assistants.files.retrieve(second, assistant_id=assistant.id))
        beta.assistants.files.create(assistant.id, file_id=third)

        def walk(**query):
            return [one.id for one in beta.assistants.files.list(assistant.id, **query)]

        assert walk(order="asc", limit=2) == ids and walk(limit=1) == ids[::-1]
        assert walk(order="asc", after=first) == [second, third]
        assert walk(order="asc", before=third, limit=1) == [second]
        assert sorted(beta.assistants.retrieve(assistant.id).file_ids) == sorted(ids)

        deleted = conforms(beta.assistants.files.delete(second, assistant_id=assistant.id))
        expected = {"id": second, "object": "assistant.file.deleted", "deleted": True}
        assert plain(deleted) == expected, deleted
        assert walk(order="asc") == [first, third]
        # The file itself stays.
        assert_same(files[1], client.files.retrieve(second))
        for request in (beta.assistants.files.retrieve, beta.assistants.files.delete):
            try:
                request(second, assistant_id=assistant.id)
            except openai.NotFoundError as error:
                assert error.type == "invalid_request_error", error.body
            else:
                raise AssertionError("a file that is not the assistant's was found")
    delete(files)


@flow
def v1_assistant_file_ids():
    """file_ids on create and update; unknown files and too many of them"""
    files = three_files()
    ids = [file.id for file in files]
    with an_assistant(file_ids=ids[:2]) as assistant:
        assert assistant.file_ids == ids[:2], assistant
        updated = conforms(beta.assistants.update(assistant.id, file_ids=ids[1:]))
        assert updated.file_ids == ids[1:], updated
        assert beta.assistants.update(assistant.id, name="Kept").file_ids == ids[1:]
        # v2 has them as resources of the code interpreter.
        seen = beta.assistants.retrieve(assistant.id, **V2)
        assert plain(seen)["tool_resources"]["code_interpreter"] == {"file_ids": ids[1:]}, seen
        assert beta.assistants.update(assistant.id, file_ids=[]).file_ids == []
        for request in (
            lambda: beta.assistants.update(assistant.id, file_ids=[NO_SUCH_FILE]),
            lambda: beta.assistants.create(model=MODEL, file_ids=[NO_SUCH_FILE]),
            lambda: beta.assistants.files.create(assistant.id, file_id=NO_SUCH_FILE),
        ):
            try:
                request()
            except (openai.BadRequestError, openai.NotFoundError) as error:
                assert error.body["message"] == f"No such File object: {NO_SUCH_FILE}", error.body
                assert error.param == "id", error.body
            else:
                raise AssertionError("a file that is not there was accepted")
        try:
            beta.assistants.update(assistant.id, file_ids=ids * 7)
        except openai.BadRequestError as error:
            assert error.param == "file_ids" and "20" in error.body["message"], error.body
        else:
            raise AssertionError("21 files were accepted")
    delete(files)


@flow
def v1_deleted_file():
    """An assistant and a message go on without a file that was deleted."""
    files = three_files()
    ids = [file.id for file in files]
    with an_assistant(file_ids=ids) as assistant:
        request = {
            "assistant_id": assistant.id,
            "thread": {"messages": [{"role": "user", "content": GREETING, "file_ids": ids}]},
            **TEXT_RUN,
        }
        thread_id = beta.threads.create_and_run_poll(**request).thread_id
        client.files.delete(ids[1])
        beta.threads.messages.create(thread_id, role="user", content=GREETING)
        run = beta.threads.runs.create_and_poll(thread_id=thread_id, assistant_id=assistant.id, **TEXT_RUN)
        assert_ended(run, turns=1)
        detached = beta.assistants.files.delete(ids[0], assistant_id=assistant.id)
        assert detached.deleted is True, detached
        assert ids[2] in beta.assistants.retrieve(assistant.id).file_ids
    delete([files[0], files[2]])


@flow
def v1_message_files():
    """beta.threads.messages.files: retrieve, list; file_ids of messages in every place where one is made"""
    files = three_files()
    first, second, third = ids = [file.id for file in files]
    thread = beta.threads.create(messages=[{"role": "user", "content": "Read.", "file_ids": ids}])
    [message] = beta.threads.messages.list(thread.id)
    assert conforms(message).file_ids == ids, message

    def walk(**query):
        query = {"thread_id": thread.id, **query}
        return [one.id for one in beta.threads.messages.files.list(message.id, **query)]

    assert walk(order="asc", limit=2) == ids and walk(limit=1) == ids[::-1]
    assert walk(order="asc", after=second) == [third]
    one = conforms(beta.threads.messages.files.retrieve(second, thread_id=thread.id, message_id=message.id))
    assert one.object == "thread.message.file" and one.created_at, one
    assert (one.id, one.message_id) == (second, message.id), one

    created = beta.threads.messages.create(thread.id, role="user", content="And?", file_ids=[third])
    assert created.file_ids == [third], created
    updated = beta.threads.messages.update(created.id, thread_id=thread.id, metadata={"k": "v"})
    assert updated.file_ids == [third], updated
    seen = plain(beta.threads.messages.retrieve(created.id, thread_id=thread.id, **V2))["attachments"]
    assert [attachment["file_id"] for attachment in seen] == [third], seen
    assert sorted(tool["type"] for tool in seen[0]["tools"]) == ["code_interpreter", "file_search"], seen
    with raises(openai.NotFoundError, None, param="id"):
        client.files.retrieve(NO_SUCH_FILE)
    try:
        beta.threads.messages.files.retrieve(first, thread_id=thread.id, message_id=created.id)
    except openai.NotFoundError as error:
        assert error.type == "invalid_request_error", error.body
    else:
        raise AssertionError("a file that is not the message's was found")

    # Nothing is made where a file is missing, or where there are too many.
    for file_ids in ([NO_SUCH_FILE], ids * 4):
        try:
            beta.threads.messages.create(thread.id, role="user", content="No.", file_ids=file_ids)
        except openai.BadRequestError as error:
            assert error.type == "invalid_request_error", error.body
        else:
            raise AssertionError(f"{len(file_ids)} files were accepted")
    assert len(beta.threads.messages.list(thread.id).data) == 2
    delete(files)


@flow
def v1_run_files():
    """A run has its assistant's files, as they were when it was made."""
    files = three_files()
    ids = [file.id for file in files]
    with an_assistant(file_ids=ids[:1]) as assistant:
        run = beta.threads.create_and_run(
            assistant_id=assistant.id,
            thread={"messages": [{"role": "user", "content": GREETING, "file_ids": ids[1:]}]},
            **TEXT_RUN,
        )
        assert conforms(run).file_ids == ids[:1], run
        beta.assistants.update(assistant.id, file_ids=[])
        run = beta.threads.runs.poll(run.id, thread_id=run.thread_id, poll_interval_ms=50)
        assert_ended(run, turns=1)
        assert run.file_ids == ids[:1], run
        question = beta.threads.messages.list(run.thread_id, order="asc").data[0]
        assert question.file_ids == ids[1:], question
    delete(files)
