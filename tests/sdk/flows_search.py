"""What both generations share of file search: files with something to find, and the checks of citations."""

from flows_files import a_file
from harness import SCRIPTED, TEXT_RUN, client, conforms, plain

FOODS = b"Favorite foods.\nFilip Carola: cake. Tekakwitha Effie: pizza."
COLORS = b"Numbers of colors.\nThe number for blue is 2. The number for green is 4."
# Its words, the common ones too, are in the first file alone.
QUESTION = "Which food likes Filip Carola?"

# What the scripted model says before the markers: Python counts characters, whatever their bytes.
FOUND = "Größe 🌍: found in "
MARKER_V1, MARKER_V2 = r"【\d+†source】", r"【\d+:\d+†[^【】]+】"

# A small real model may go on searching: its run ends by its tokens.
SEARCH_RUN = {} if SCRIPTED else {**TEXT_RUN, "max_completion_tokens": 96, "max_prompt_tokens": 2000}

SEARCH_STEP = [
    "thread.run.step.created",
    "thread.run.step.in_progress",
    "thread.run.step.delta",
    "thread.run.step.completed",
]


def two_files():
    """The files that hold `FOODS` and `COLORS`."""
    return a_file("foods.txt", FOODS), a_file("colors.txt", COLORS)


def delete_files(*files):
    for file in files:
        client.files.delete(file.id)


def cited(message):
    """The citations of a message as (text, file): each stands in the text where it says."""
    conforms(message)
    [part] = message.content
    assert part.type == "text", message
    value = part.text.value
    for annotation in part.text.annotations:
        assert annotation.type == "file_citation", annotation
        assert value[annotation.start_index : annotation.end_index] == annotation.text, (value, annotation)
    return [(one.text, one.file_citation.file_id) for one in part.text.annotations]


def pieces_of(events, message):
    """The pieces of a message's text, each with its annotations, as the stream told them."""
    deltas = [e.data for e in events if e.event == "thread.message.delta" and e.data.id == message.id]
    texts = [conforms(delta).delta.content[0].text for delta in deltas]
    return [(text.value or "", text.annotations or []) for text in texts]


def assert_told(events, message, quotes):
    """The deltas are together what the message says, each annotation once and counted from 0."""
    pieces = pieces_of(events, message)
    text = message.content[0].text
    assert "".join(value for value, _ in pieces) == text.value, (pieces, message)
    told = [plain(annotation) for _, annotations in pieces for annotation in annotations]
    expected = [plain(annotation) for annotation in text.annotations]
    for index, annotation in enumerate(expected):
        annotation["index"] = index
        if not quotes:
            annotation["file_citation"]["quote"] = ""
    assert told == expected, f"\n{told}\n{expected}"
    if SCRIPTED:
        assert told and len(pieces) > len(told), pieces
    for value, annotations in pieces:
        # A marker is a piece of its own.
        assert all(annotation.text == value for annotation in annotations), (value, annotations)


def searches_of(steps, kind):
    """The searches of a run's steps, in their order."""
    calls = [call for step in steps if step.type == "tool_calls" for call in step.step_details.tool_calls]
    assert calls, steps
    assert all(call.type == kind for call in calls), calls
    return calls


def assert_kinds(steps):
    """The steps of a run that had to search: a search first."""
    kinds = [step.type for step in steps]
    assert kinds[0] == "tool_calls", kinds
    if SCRIPTED:
        assert kinds == ["tool_calls", "message_creation"], kinds


def assert_announced(recorder, searches):
    """What the stream helper announced of these searches.

    It says at the end of each step after a call that the call is done, and of a call that it begins only where its
    index differs from that of the call before.
    """
    done = list(dict.fromkeys(call.id for call in recorder.done))
    assert done == [call.id for call in searches], (recorder.done, searches)
    assert recorder.created == done[:1], (recorder.created, done)
