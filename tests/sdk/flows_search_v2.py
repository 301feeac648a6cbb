"""`file_search` through the newest Python SDK: stores of assistants, threads and attachments, streams, citations."""

import re

from openai import AssistantEventHandler

from flows_files import a_file
from flows_search import (
    COLORS,
    FOODS,
    FOUND,
    MARKER_V2,
    QUESTION,
    SEARCH_RUN,
    SEARCH_STEP,
    assert_announced,
    assert_kinds,
    assert_told,
    cited,
    delete_files,
    searches_of,
    two_files,
)
from harness import (
    RUN_COMPLETED,
    RUN_START,
    SCRIPTED,
    TEXT_STEP,
    an_assistant,
    answers_of,
    assert_ended,
    assert_id,
    assert_order,
    assert_same,
    assert_stored,
    client,
    conforms,
    flow,
    order_of,
    plain,
    steps_of,
)

beta, stores = client.beta, client.vector_stores

TOOL = {"type": "file_search"}
FORCED = {"tool_choice": TOOL, **SEARCH_RUN}
INCLUDE = ["step_details.tool_calls[*].file_search.results[*].content"]


def a_store(*files):
    """A store whose files are all searchable."""
    store = stores.create()
    stores.file_batches.create_and_poll(store.id, file_ids=[file.id for file in files], poll_interval_ms=20)
    return store


def resources(*ids):
    return {"file_search": {"vector_store_ids": list(ids)}}


def assert_search(call, texts=None):
    """A search as its step shows it; with `texts`, what was found has a content that is in one of them."""
    conforms(call)
    assert_id("call", call.id)
    search = call.file_search
    assert search.ranking_options.ranker in ("auto", "default_2024_08_21"), call
    assert search.ranking_options.score_threshold == 0, call
    scores = [result.score for result in search.results]
    assert scores == sorted(scores, reverse=True), scores
    for result in search.results:
        assert 0 < result.score <= 1 and plain(result)["attributes"] == {}, result
        if texts is None:
            assert "content" not in plain(result), result
        else:
            [content] = result.content
            assert content.type == "text" and content.text, result
            assert any(content.text in text for text in texts), result


def assert_citing(answer, *files):
    """The answer of the scripted model cites these files, the best first."""
    found = cited(answer)
    if not SCRIPTED:
        return
    value = answer.content[0].text.value
    assert value == FOUND + " and in ".join(text for text, _ in found) + ".", value
    assert [file for _, file in found] == [file.id for file in files], (found, files)
    for text, _ in found:
        assert re.fullmatch(MARKER_V2, text), text
    for annotation in answer.content[0].text.annotations:
        # A quote is v1's.
        assert plain(annotation)["file_citation"] == {"file_id": annotation.file_citation.file_id}, annotation


def answered(run, *files):
    """Checks a run that had to search, and what it answers."""
    assert_ended(run, turns=2)
    steps = steps_of(run)
    assert_kinds(steps)
    for call in searches_of(steps, "file_search"):
        assert_search(call)
        if SCRIPTED:
            assert [result.file_id for result in call.file_search.results] == [one.id for one in files], call
    answers = answers_of(run)
    for answer in answers:
        assert answer.attachments == [], answer
        assert_citing(answer, *files)
    assert answers or not SCRIPTED, run


@flow
def v2_search():
    """A run that is polled: its steps with and without what was found, its citations, its store's activity"""
    foods, colors = two_files()
    store = a_store(foods, colors)
    with an_assistant(tools=[TOOL], tool_resources=resources(store.id)) as assistant:
        assert conforms(assistant).tool_resources.file_search.vector_store_ids == [store.id], assistant
        thread = beta.threads.create(messages=[{"role": "user", "content": QUESTION}])
        run = beta.threads.runs.create_and_poll(
            thread_id=thread.id, assistant_id=assistant.id, include=INCLUDE, poll_interval_ms=50, **FORCED
        )
        assert run.tool_choice.type == "file_search", run
        answered(run, foods)
        where = {"thread_id": thread.id, "run_id": run.id}
        listed = [step for step in beta.threads.runs.steps.list(**where, include=INCLUDE, order="asc")]
        one = beta.threads.runs.steps.retrieve(listed[0].id, **where, include=INCLUDE)
        assert_same(one, listed[0])
        for call in searches_of(listed, "file_search"):
            assert_search(call, texts=[FOODS.decode(), COLORS.decode()])
        if SCRIPTED:
            [call] = searches_of(listed, "file_search")
            [result] = call.file_search.results
            assert (result.file_id, result.file_name) == (foods.id, "foods.txt"), result
            assert result.content[0].text == FOODS.decode(), result
        assert stores.retrieve(store.id).last_active_at >= run.created_at
    stores.delete(store.id)
    delete_files(foods, colors)


class Recorder(AssistantEventHandler):
    def __init__(self):
        super().__init__()
        self.events, self.created, self.done = [], [], []
        self.text, self.annotations, self.texts, self.messages, self.steps = "", [], [], [], []

    def on_event(self, event):
        self.events.append(event)

    def on_tool_call_created(self, tool_call):
        self.created.append(tool_call.id)

    def on_tool_call_done(self, tool_call):
        self.done.append(tool_call.model_copy(deep=True))

    def on_run_step_done(self, run_step):
        self.steps.append(run_step)

    def on_text_delta(self, delta, snapshot):
        self.text += delta.value or ""
        self.annotations += delta.annotations or []
        assert self.text.endswith(snapshot.value), (self.text, snapshot)

    def on_text_done(self, text):
        self.texts.append(text.value)

    def on_message_done(self, message):
        self.messages.append(message)


@flow
def v2_search_stream():
    """The stream helper: a search's events, annotations in deltas and in the message that is done"""
    foods, colors = two_files()
    store = a_store(foods, colors)
    with an_assistant(tools=[TOOL], tool_resources=resources(store.id)) as assistant:
        thread = beta.threads.create(messages=[{"role": "user", "content": f"{QUESTION} And blue?"}])
        recorder = Recorder()
        with beta.threads.runs.stream(
            thread_id=thread.id,
            assistant_id=assistant.id,
            include=INCLUDE,
            event_handler=recorder,
            **FORCED,
        ) as stream:
            stream.until_done()
        events = recorder.events
        begin = RUN_START + SEARCH_STEP
        if SCRIPTED:
            assert_order(events, begin + TEXT_STEP + RUN_COMPLETED)
        assert order_of(events)[: len(begin)] == begin, order_of(events)

        for call in recorder.done:
            # What was found comes with the end of the step.
            assert (call.type, call.file_search.results) == ("file_search", []), call
        searches = searches_of(recorder.steps, "file_search")
        assert_announced(recorder, searches)
        for call in searches:
            assert_search(call, texts=[FOODS.decode(), COLORS.decode()])
        for message in recorder.messages:
            assert_told(events, message, quotes=False)
            assert_same(message, beta.threads.messages.retrieve(message.id, thread_id=thread.id))
        assert recorder.texts == [message.content[0].text.value for message in recorder.messages]
        if SCRIPTED:
            [message], [search] = recorder.messages, searches
            assert recorder.text == message.content[0].text.value, recorder.text
            assert [result.file_id for result in search.file_search.results] == [foods.id, colors.id], search
            assert_citing(message, foods, colors)
            assert [one.index for one in recorder.annotations] == [0, 1], recorder.annotations
        # Without include the same is stored, without the texts.
        run = [event.data for event in events if event.data.object == "thread.run"][-1]
        assert_same(run, beta.threads.runs.retrieve(run.id, thread_id=thread.id))
        for call in searches_of(steps_of(run), "file_search"):
            assert_search(call)
        plainly = Recorder()
        with beta.threads.runs.stream(
            thread_id=thread.id, assistant_id=assistant.id, event_handler=plainly, **FORCED
        ) as stream:
            stream.until_done()
        assert_stored(plainly.events)
    stores.delete(store.id)
    delete_files(foods, colors)


@flow
def v2_search_inline_stores():
    """vector_stores made with an assistant and with a thread, searched together"""
    foods, colors = two_files()
    made = {"file_search": {"vector_stores": [{"file_ids": [foods.id], "metadata": {"of": "assistant"}}]}}
    with an_assistant(tools=[TOOL], tool_resources=made) as assistant:
        [assistants] = assistant.tool_resources.file_search.vector_store_ids
        assert stores.retrieve(assistants).metadata == {"of": "assistant"}
        assert stores.retrieve(assistants).expires_after is None
        strategy = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0}}
        thread = beta.threads.create(
            messages=[{"role": "user", "content": f"{QUESTION} And blue?"}],
            tool_resources={
                "file_search": {"vector_stores": [{"file_ids": [colors.id], "chunking_strategy": strategy}]}
            },
        )
        [threads] = conforms(thread).tool_resources.file_search.vector_store_ids
        assert plain(stores.retrieve(threads))["expires_after"] == {"anchor": "last_active_at", "days": 7}
        stores.files.poll(colors.id, vector_store_id=threads, poll_interval_ms=20)
        stored = stores.files.retrieve(colors.id, vector_store_id=threads)
        assert plain(stored)["chunking_strategy"] == strategy, stored
        stores.files.poll(foods.id, vector_store_id=assistants, poll_interval_ms=20)
        run = beta.threads.runs.create_and_poll(
            thread_id=thread.id, assistant_id=assistant.id, poll_interval_ms=50, **FORCED
        )
        answered(run, foods, colors)
        # Another store takes the place of the first.
        other = stores.create()
        updated = beta.assistants.update(assistant.id, tool_resources=resources(other.id))
        assert updated.tool_resources.file_search.vector_store_ids == [other.id], updated
    for one in (assistants, threads, other.id):
        stores.delete(one)
    delete_files(foods, colors)


@flow
def v2_search_attachments():
    """Attachments of messages for file_search, in every place where a message is made"""
    foods, colors = two_files()
    more = a_file("more.txt", b"The favorite food of Filip Carola was bread before.")

    def attached(file):
        return [{"file_id": file.id, "tools": [TOOL]}]

    with an_assistant(tools=[TOOL]) as assistant:
        thread = beta.threads.create(
            messages=[{"role": "user", "content": QUESTION, "attachments": attached(foods)}]
        )
        # The thread has a store for them.
        [store] = thread.tool_resources.file_search.vector_store_ids
        run = beta.threads.runs.create_and_poll(
            thread_id=thread.id, assistant_id=assistant.id, poll_interval_ms=50, **FORCED
        )
        answered(run, foods)
        message = conforms(
            beta.threads.messages.create(
                thread.id, role="user", content="And blue?", attachments=attached(colors)
            )
        )
        assert plain(message)["attachments"] == attached(colors), message
        assert beta.threads.retrieve(thread.id).tool_resources.file_search.vector_store_ids == [store]
        run = beta.threads.runs.create_and_poll(
            thread_id=thread.id,
            assistant_id=assistant.id,
            additional_messages=[
                {"role": "user", "content": "What was bread?", "attachments": attached(more)}
            ],
            poll_interval_ms=50,
            **FORCED,
        )
        answered(run, more)
        files = [file.id for file in stores.files.list(store, order="asc")]
        assert files == [foods.id, colors.id, more.id], files
        beta.threads.delete(thread.id)
    delete_files(foods, colors, more)


@flow
def v2_search_settings():
    """max_num_results and ranking_options of the tool; a choice that has no effect on a later turn"""
    foods, colors = two_files()
    store = a_store(foods, colors)
    weights = {"embedding_weight": 1.0, "text_weight": 2.0}
    ranking = {"ranker": "auto", "score_threshold": 0.0, "hybrid_search": weights}
    settings = {"max_num_results": 1, "ranking_options": ranking}
    tool = {"type": "file_search", "file_search": settings}
    with an_assistant(tools=[tool], tool_resources=resources(store.id)) as assistant:
        conforms(assistant)
        assert plain(assistant)["tools"][0]["file_search"] == settings, assistant
        thread = beta.threads.create(messages=[{"role": "user", "content": f"{QUESTION} And blue?"}])
        run = beta.threads.runs.create_and_poll(
            thread_id=thread.id, assistant_id=assistant.id, poll_interval_ms=50, **FORCED
        )
        answered(run, foods)
        run = beta.threads.runs.create_and_poll(
            thread_id=thread.id, assistant_id=assistant.id, tool_choice="none", poll_interval_ms=50, **SEARCH_RUN
        )
        assert_ended(run, turns=1)
        assert [step.type for step in steps_of(run)] == ["message_creation"], run
    stores.delete(store.id)
    delete_files(foods, colors)
