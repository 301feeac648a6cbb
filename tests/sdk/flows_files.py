"""Files, as both generations of the Python SDK upload, list and read them."""

import asyncio
import io
import tempfile
import time
from pathlib import Path

import openai
from openai import AsyncOpenAI

from harness import SETTINGS, V1, assert_id, assert_same, client, conforms, flow, plain, raises

# Every value of a byte, and more than one piece of a stream.
BINARY = bytes(range(256)) * 2000
NO_SUCH_FILE = "file-" + "0" * 24


def a_file(
    name="notes.txt", content=b"The capital of Testland is Locumville.", purpose="assistants", **fields
):
    return client.files.create(file=(name, content), purpose=purpose, **fields)


def assert_file(file, filename, size, purpose="assistants"):
    conforms(file)
    assert_id("file", file.id, separator="-")
    assert file.object == "file" and file.status == "processed", file
    assert (file.filename, file.bytes, file.purpose) == (filename, size, purpose), file
    assert abs(file.created_at - time.time()) < 60, file
    assert file.status_details is None and plain(file).get("expires_at") is None, file


@flow
def files():
    """create, retrieve, list, content, delete"""
    text = "Grüße, 世界 🌍\n"
    file = a_file("Grüße 世界.txt", text.encode())
    assert_file(file, "Grüße 世界.txt", len(text.encode()))
    assert_same(file, client.files.retrieve(file.id))
    listed = next(one for one in client.files.list() if one.id == file.id)
    assert_same(file, listed)
    assert file.id in [one.id for one in client.files.list(purpose="assistants")]
    assert file.id not in [one.id for one in client.files.list(purpose="fine-tune")]

    content = client.files.content(file.id)
    assert content.read() == text.encode() and content.text == text, content.text
    headers = content.response.headers
    assert headers["content-type"] == "application/octet-stream", headers
    assert headers["content-disposition"].startswith("attachment; filename"), headers
    assert int(headers["content-length"]) == len(text.encode()), headers
    with client.files.with_streaming_response.content(file.id) as response:
        assert b"".join(response.iter_bytes(4)) == text.encode()
    assert client.files.retrieve_content(file.id) == text

    deleted = conforms(client.files.delete(file.id))
    assert plain(deleted) == {"id": file.id, "object": "file", "deleted": True}, deleted
    for request in (client.files.retrieve, client.files.content, client.files.delete):
        with raises(openai.NotFoundError, f"No such File object: {file.id}", param="id"):
            request(file.id)


@flow
def file_sources():
    """Bytes, a path, an open file, a tuple, a stream without a name, and nothing at all"""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "Größe.bin")
        path.write_bytes(BINARY)
        with path.open("rb") as opened:
            sources = (
                (BINARY, "upload", BINARY),
                (path, "Größe.bin", BINARY),
                (opened, "Größe.bin", BINARY),
                (io.BytesIO(BINARY), "upload", BINARY),
                (("名前.bin", BINARY, "application/x-locum"), "名前.bin", BINARY),
                (('quotes " and \\ and ; too.bin', BINARY), None, BINARY),
                (("empty.txt", b""), "empty.txt", b""),
            )
            for source, filename, expected in sources:
                file = client.files.create(file=source, purpose="fine-tune")
                # How quotes are written differs between the generations.
                assert_file(file, filename or file.filename, len(expected), "fine-tune")
                assert "quotes" in file.filename or filename, file
                assert client.files.content(file.id).read() == expected, file
                client.files.delete(file.id)


@flow
def file_processing():
    """wait_for_processing ends, also where a file is gone."""
    file = a_file()
    waited = client.files.wait_for_processing(file.id, poll_interval=0.05, max_wait_seconds=10)
    assert_same(file, waited)
    client.files.delete(file.id)
    with raises(openai.NotFoundError, f"No such File object: {file.id}", param="id"):
        client.files.wait_for_processing(file.id, poll_interval=0.05, max_wait_seconds=10)


@flow
def file_refusals():
    with raises(
        openai.BadRequestError,
        r"'world_domination' is not one of \['fine-tune', 'assistants', .*\] - 'purpose'",
        param="purpose",
    ):
        a_file(purpose="world_domination")
    with raises(openai.NotFoundError, f"No such File object: {NO_SUCH_FILE}", param="id"):
        client.files.content(NO_SUCH_FILE)
    for form in ({"data": {"purpose": "assistants"}}, {"files": {"file": ("a.txt", b"a")}}):
        # The SDK does not let go of a field that it requires.
        answer = client._client.post(
            "files", headers={"Authorization": f"Bearer {client.api_key}"}, **{"data": {}, **form}
        )
        assert answer.status_code in (400, 415), answer.text
        assert answer.json()["error"]["type"] == "invalid_request_error", answer.text


@flow
async def async_files():
    """Five uploads at once"""
    async with AsyncOpenAI(**SETTINGS) as aclient:
        made = await asyncio.gather(
            *(
                aclient.files.create(file=(f"{number}.bin", BINARY + bytes([number])), purpose="assistants")
                for number in range(5)
            )
        )
        assert len({file.id for file in made}) == 5, made
        for number, file in enumerate(made):
            assert_file(file, f"{number}.bin", len(BINARY) + 1)
            content = await aclient.files.content(file.id)
            assert content.read()[-1] == number, file
            waited = await aclient.files.wait_for_processing(file.id, poll_interval=0.05, max_wait_seconds=10)
            assert waited.id == file.id, waited
        seen = [file.id async for file in aclient.files.list()]
        assert {file.id for file in made} <= set(seen), seen
        for file in made:
            await aclient.files.delete(file.id)


if not V1:

    @flow
    def file_pages():
        """limit, order, after, and the SDK's own walk"""
        ids = [a_file(f"page {number}.txt", purpose="user_data").id for number in range(5)]

        def walk(**query):
            return [one.id for one in client.files.list(purpose="user_data", **query) if one.id in ids]

        assert walk() == ids[::-1]
        assert walk(limit=2) == ids[::-1]
        assert walk(limit=2, order="asc", after=ids[1]) == ids[2:]
        page = client.files.list(purpose="user_data", limit=1, order="asc", after=ids[0])
        assert [one.id for one in page.data] == [ids[1]] and page.has_more is True, page
        for limit in (0, 10001):
            try:
                client.files.list(limit=limit)
            except openai.BadRequestError as error:
                assert error.type == "invalid_request_error" and "limit" in error.body["message"], error.body
            else:
                raise AssertionError(f"limit {limit} was accepted")
        assert client.files.list(limit=10000).data
        for one in ids:
            client.files.delete(one)

    @flow
    def file_expiry():
        """expires_after, what batches have by default, and its limits"""

        def expiring(seconds):
            return {"anchor": "created_at", "seconds": seconds}

        for seconds in (3600, 2_592_000):
            file = a_file(expires_after=expiring(seconds))
            assert file.expires_at == file.created_at + seconds, file
            assert_same(file, client.files.retrieve(file.id))
            client.files.delete(file.id)
        batch = a_file("requests.jsonl", b"{}\n", purpose="batch")
        assert batch.expires_at == batch.created_at + 2_592_000, batch
        client.files.delete(batch.id)
        for seconds in (3599, 2_592_001):
            try:
                a_file(expires_after=expiring(seconds))
            except openai.BadRequestError as error:
                assert "expires_after" in f"{error.param} {error.body['message']}", error.body
            else:
                raise AssertionError(f"{seconds} seconds were accepted")
