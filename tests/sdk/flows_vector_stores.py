"""Vector stores through the newest Python SDK: its helpers, batches, attributes, search, expiry."""

import asyncio

import openai
from openai import AsyncOpenAI

from flows_files import NO_SUCH_FILE, a_file
from flows_search import COLORS, FOODS, delete_files, two_files
from harness import SETTINGS, assert_id, assert_same, client, conforms, flow, plain, raises

stores = client.vector_stores

QUICK = {"poll_interval_ms": 20}
STATIC = {"type": "static", "static": {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 50}}
BY_DEFAULT = {"type": "static", "static": {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400}}
NO_SUCH_STORE = "vs_" + "0" * 24


def counts(total, **fields):
    """The file_counts of so many completed files, or of those that the fields say."""
    zero = {"in_progress": 0, "completed": 0, "failed": 0, "cancelled": 0}
    return {**zero, **(fields or {"completed": total}), "total": total}


def assert_file(file, store, attributes=None, chunking=None):
    """A searchable file of a store."""
    conforms(file)
    assert (file.object, file.vector_store_id) == ("vector_store.file", store.id), file
    assert (file.status, file.last_error) == ("completed", None) and file.usage_bytes > 0, file
    assert file.attributes == (attributes or {}), file
    assert plain(file)["chunking_strategy"] == (chunking or BY_DEFAULT), file
    assert_same(file, stores.files.retrieve(file.id, vector_store_id=store.id))


def assert_batch(batch, store, total):
    # The type's word for the object is not the one on the wire.
    type(batch).model_validate({**plain(batch), "object": "vector_store.files_batch"})
    assert_id("vsfb", batch.id)
    assert batch.object == "vector_store.file_batch" and batch.vector_store_id == store.id, batch
    assert (batch.status, plain(batch)["file_counts"]) == ("completed", counts(total)), batch
    assert_same(batch, stores.file_batches.retrieve(batch.id, vector_store_id=store.id))


def found(store, query, **fields):
    """The ids of the files that a search finds, best first, checked."""
    page = stores.search(store.id, query=query, **fields)
    results = list(page)
    for result in results:
        conforms(result)
        assert 0 < result.score <= 1 and result.filename, result
        assert [part.type for part in result.content] == ["text"] and result.content[0].text, result
    assert [one.score for one in results] == sorted((one.score for one in results), reverse=True), results
    return [result.file_id for result in results]


@flow
def store_objects():
    """create, retrieve, list, update, delete"""
    foods, colors = two_files()
    store = conforms(stores.create(name="Papers", file_ids=[foods.id, colors.id], metadata={"k": "v"}))
    assert_id("vs", store.id)
    assert (store.object, store.name, store.metadata) == ("vector_store", "Papers", {"k": "v"}), store
    assert store.file_counts.total == 2 and store.expires_after is None, store
    for file in (foods, colors):
        assert_file(stores.files.poll(file.id, vector_store_id=store.id, **QUICK), store)
    done = stores.retrieve(store.id)
    assert (done.status, plain(done)["file_counts"]) == ("completed", counts(2)), done
    files = list(stores.files.list(store.id, order="asc"))
    assert [file.id for file in files] == [foods.id, colors.id], files
    assert done.usage_bytes == sum(file.usage_bytes for file in files), done

    changed = conforms(stores.update(store.id, name="Other papers", metadata={"l": "w"}))
    assert (changed.name, changed.metadata) == ("Other papers", {"l": "w"}), changed
    assert_same(changed, stores.retrieve(store.id))
    assert stores.update(store.id, name=None).name is None
    other = stores.create()
    listed = [one.id for one in stores.list(limit=1) if one.id in (store.id, other.id)]
    assert listed == [other.id, store.id], listed
    for one in (store, other):
        deleted = conforms(stores.delete(one.id))
        assert plain(deleted) == {"id": one.id, "object": "vector_store.deleted", "deleted": True}, deleted
    searched = lambda one: stores.search(one, query="?")  # noqa: E731
    for request in (stores.retrieve, stores.delete, stores.files.list, searched):
        with raises(openai.NotFoundError, f".*{store.id}.*", param=None):
            request(store.id)
    # The files stay.
    assert_same(foods, client.files.retrieve(foods.id))
    delete_files(foods, colors)


@flow
def store_expiry():
    """expires_after, which counts from the last activity, set, changed and taken back"""
    day = 86_400

    def after(days):
        return {"anchor": "last_active_at", "days": days}

    store = conforms(stores.create(name="Brief", expires_after=after(3)))
    assert plain(store)["expires_after"] == after(3), store
    assert store.expires_at == store.last_active_at + 3 * day, store
    longer = stores.update(store.id, expires_after=after(365))
    assert longer.expires_at == longer.last_active_at + 365 * day, longer
    forever = stores.update(store.id, expires_after=None)
    assert (forever.expires_after, forever.expires_at) == (None, None), forever
    for wrong in (after(0), after(366), {"anchor": "created_at", "days": 3}):
        try:
            stores.update(store.id, expires_after=wrong)
        except openai.BadRequestError as error:
            assert error.param.startswith("expires_after"), error.body
        else:
            raise AssertionError(f"{wrong} was accepted")
    stores.delete(store.id)


@flow
def store_files():
    """create_and_poll, upload_and_poll, attributes, chunking, content, delete"""
    store = stores.create()
    foods, colors = two_files()
    attributes = {"kind": "food", "year": 2024, "open": True}
    made = stores.files.create_and_poll(
        foods.id, vector_store_id=store.id, attributes=attributes, chunking_strategy=STATIC, **QUICK
    )
    assert_file(made, store, attributes, STATIC)
    uploaded = stores.files.upload_and_poll(
        vector_store_id=store.id,
        file=("notes.md", "# Größe\n\nThe tower is 330 metres high.\n".encode()),
        attributes={"kind": "tower"},
        **QUICK,
    )
    assert_file(uploaded, store, {"kind": "tower"})
    assert client.files.retrieve(uploaded.id).filename == "notes.md"
    late = stores.files.upload(vector_store_id=store.id, file=("late.txt", b"Later than all others."))
    assert_file(stores.files.poll(late.id, vector_store_id=store.id, **QUICK), store)

    changed = conforms(
        stores.files.update(uploaded.id, vector_store_id=store.id, attributes={"kind": "high", "m": 330})
    )
    assert changed.attributes == {"kind": "high", "m": 330}, changed
    assert_file(changed, store, {"kind": "high", "m": 330})
    cleared = stores.files.update(uploaded.id, vector_store_id=store.id, attributes=None)
    assert cleared.attributes == {}, cleared

    texts = [one.text for one in stores.files.content(foods.id, vector_store_id=store.id)]
    assert "".join(texts) == FOODS.decode(), texts
    # Added once more it is the same.
    again = stores.files.create_and_poll(
        foods.id, vector_store_id=store.id, chunking_strategy=STATIC, **QUICK
    )
    assert again.id == foods.id and stores.retrieve(store.id).file_counts.total == 3, again

    deleted = conforms(stores.files.delete(late.id, vector_store_id=store.id))
    expected = {"id": late.id, "object": "vector_store.file.deleted", "deleted": True}
    assert plain(deleted) == expected, deleted
    with raises(openai.NotFoundError, f".*{late.id}.*{store.id}.*"):
        stores.files.retrieve(late.id, vector_store_id=store.id)
    client.files.delete(foods.id)
    assert [file.id for file in stores.files.list(store.id)] == [uploaded.id]
    try:
        stores.files.create(store.id, file_id=NO_SUCH_FILE)
    except (openai.BadRequestError, openai.NotFoundError) as error:
        assert NO_SUCH_FILE in error.body["message"], error.body
    else:
        raise AssertionError("a file that is not there was accepted")
    stores.delete(store.id)
    delete_files(colors, uploaded, late)


@flow
def store_batches():
    """create_and_poll with file_ids and with files, upload_and_poll, files of a batch, cancel"""
    store = stores.create()
    foods, colors = two_files()
    batch = stores.file_batches.create_and_poll(
        store.id, file_ids=[foods.id, colors.id], attributes={"batch": 1}, chunking_strategy=STATIC, **QUICK
    )
    assert_batch(batch, store, 2)

    def listed(batch, **query):
        pages = stores.file_batches.list_files(batch.id, vector_store_id=store.id, **query)
        return [conforms(file).id for file in pages]

    assert listed(batch, order="asc", limit=1) == [foods.id, colors.id]
    assert listed(batch, order="asc", after=foods.id) == [colors.id]
    assert listed(batch, filter="completed") == [colors.id, foods.id]
    assert listed(batch, filter="failed") == []
    assert_file(stores.files.retrieve(foods.id, vector_store_id=store.id), store, {"batch": 1}, STATIC)

    sources = [(f"{number}.txt", f"Page {number} of the atlas.".encode()) for number in range(7)]
    atlas = a_file("atlas.txt", b"The whole atlas.")
    uploaded = stores.file_batches.upload_and_poll(
        store.id, files=sources, file_ids=[atlas.id], max_concurrency=3, **QUICK
    )
    assert_batch(uploaded, store, 8)
    pages = listed(uploaded, limit=3)
    assert len(set(pages)) == 8 and atlas.id in pages, pages

    one, other = a_file("1.txt", b"One."), a_file("2.txt", b"Two.")
    files = [
        {"file_id": one.id, "attributes": {"n": 1}, "chunking_strategy": STATIC},
        {"file_id": other.id},
    ]
    each = stores.file_batches.create_and_poll(store.id, files=files, **QUICK)
    assert_batch(each, store, 2)
    assert_file(stores.files.retrieve(one.id, vector_store_id=store.id), store, {"n": 1}, STATIC)
    assert_file(stores.files.retrieve(other.id, vector_store_id=store.id), store)

    # What is through cannot be cancelled any more, and that is no error.
    cancelled = stores.file_batches.cancel(each.id, vector_store_id=store.id)
    assert_same(cancelled, each)
    with raises(openai.NotFoundError, ".*vsfb_nothing.*"):
        stores.file_batches.retrieve("vsfb_nothing", vector_store_id=store.id)
    stores.delete(store.id)
    delete_files(foods, colors, *(client.files.retrieve(page) for page in pages), one, other)


@flow
def store_failures():
    """A file that cannot be read fails with a reason; the helpers end, and the others are there."""
    store = stores.create()
    foods = a_file("foods.txt", FOODS)
    broken = a_file("broken.pdf", b"%PDF-1.7\nnothing of a document")
    batch = stores.file_batches.create_and_poll(store.id, file_ids=[foods.id, broken.id], **QUICK)
    assert batch.status == "completed", batch
    assert plain(batch)["file_counts"] == counts(2, completed=1, failed=1), batch
    [failed] = stores.files.list(store.id, filter="failed")
    assert failed.id == broken.id and failed.last_error.code == "invalid_file", failed
    assert failed.last_error.message == "The file is damaged.", failed
    conforms(failed)
    assert [file.id for file in stores.files.list(store.id, filter="completed")] == [foods.id]
    assert list(stores.files.content(broken.id, vector_store_id=store.id)) == [], "a failed file holds nothing"
    image = a_file("image.png", b"\x89PNG\r\n\x1a\n")
    for request in (
        lambda: stores.files.create(store.id, file_id=image.id),
        lambda: stores.file_batches.create(store.id, file_ids=[foods.id, image.id]),
        lambda: stores.create(file_ids=[image.id]),
    ):
        try:
            request()
        except openai.BadRequestError as error:
            assert error.code == "unsupported_file" and "[.png]" in error.body["message"], error.body
        else:
            raise AssertionError("an image was accepted")
    stores.delete(store.id)
    delete_files(foods, broken, image)


@flow
def store_search():
    """One query and several, filters of all kinds, ranking_options"""
    store = stores.create()
    files = {}
    for name, text, attributes in (
        ("paris.txt", "Paris is the capital of France.", {"country": "fr", "year": 2020, "open": True}),
        ("lyon.txt", "Lyon is the third city of France.", {"country": "fr", "year": 2024, "open": False}),
        ("rome.txt", "Rome is the capital of Italy.", {"country": "it", "year": 2022.5}),
        ("none.txt", "No capital is here.", {}),
    ):
        file = stores.files.upload_and_poll(
            vector_store_id=store.id, file=(name, text.encode()), attributes=attributes, **QUICK
        )
        files[name.partition(".")[0]] = file.id
    names = {one: name for name, one in files.items()}

    def names_of(query="capital city", **fields):
        return sorted(names[one] for one in found(store, query, **fields))

    assert names_of("Italy") == ["rome"]
    assert set(names_of(["Italy", "third"])) == {"lyon", "rome"}
    assert names_of("xylophone") == []
    assert len(names_of(max_num_results=1)) == 1
    page = stores.search(store.id, query="Italy", rewrite_query=True)
    assert plain(page)["search_query"] == ["Italy"] and plain(page)["has_more"] is False, page
    [result] = page
    assert (result.filename, result.attributes) == ("rome.txt", {"country": "it", "year": 2022.5}), result
    assert result.content[0].text == "Rome is the capital of Italy.", result

    def where(key, kind, value):
        return {"type": kind, "key": key, "value": value}

    def both(kind, *filters):
        return {"type": kind, "filters": list(filters)}

    fr, it = where("country", "eq", "fr"), where("country", "eq", "it")
    for filters, expected in (
        (fr, ["lyon", "paris"]),
        (where("country", "ne", "fr"), ["none", "rome"]),
        (where("open", "eq", True), ["paris"]),
        (where("year", "gt", 2022), ["lyon", "rome"]),
        (where("year", "gte", 2022.5), ["lyon", "rome"]),
        (where("year", "lt", 2022), ["paris"]),
        (where("year", "lte", 2020), ["paris"]),
        (where("country", "in", ["it", "es"]), ["rome"]),
        (where("country", "nin", ["it", "es"]), ["lyon", "none", "paris"]),
        (both("and", fr, where("year", "gt", 2022)), ["lyon"]),
        (both("or", it, where("open", "eq", True)), ["paris", "rome"]),
        (both("and", both("or", fr, it), both("or", it, where("year", "eq", 2024))), ["lyon", "rome"]),
    ):
        assert names_of(filters=filters) == expected, (filters, names_of(filters=filters))
    # Attributes that change count at once.
    stores.files.update(files["none"], vector_store_id=store.id, attributes={"country": "fr"})
    assert names_of(filters=fr) == ["lyon", "none", "paris"]

    best = stores.search(store.id, query="capital of Italy").data[0]
    for threshold, expected in ((0, 1), (best.score, 1), (1, best.score == 1)):
        ranking = {"ranker": "auto", "score_threshold": threshold}
        results = found(store, "capital of Italy", max_num_results=1, ranking_options=ranking)
        assert len(results) == expected, (threshold, best.score, results)
    assert names_of("Italy", ranking_options={"ranker": "none"}) == ["rome"]
    for fields, param in (
        ({"query": "a", "max_num_results": 51}, "max_num_results"),
        ({"query": "a", "filters": where("country", "like", "f")}, "filters"),
        ({"query": "a", "filters": both("and", where("year", "gt", [1]))}, "filters"),
        ({"query": "a", "ranking_options": {"score_threshold": 2}}, "ranking_options"),
        ({"query": ""}, "query"),
    ):
        try:
            stores.search(store.id, **fields)
        except openai.BadRequestError as error:
            assert error.param.startswith(param), error.body
        else:
            raise AssertionError(f"{fields} were accepted")
    stores.delete(store.id)
    for one in files.values():
        client.files.delete(one)


@flow
async def async_stores():
    """The asynchronous client: five stores filled and searched at once"""
    async with AsyncOpenAI(**SETTINGS) as aclient:

        async def fill(number):
            store = await aclient.vector_stores.create(name=f"{number}")
            sources = [(f"{number}-{page}.txt", f"Word{number} on page{page}.".encode()) for page in range(4)]
            batch = await aclient.vector_stores.file_batches.upload_and_poll(store.id, files=sources, **QUICK)
            assert_batch(batch, store, 4)
            page = await aclient.vector_stores.search(store.id, query=f"Word{number} page3")
            best = [result async for result in page][0]
            assert best.filename == f"{number}-3.txt", best
            async for file in aclient.vector_stores.files.list(store.id):
                await aclient.files.delete(file.id)
            assert (await aclient.vector_stores.delete(store.id)).deleted

        await asyncio.gather(*(fill(number) for number in range(5)))
