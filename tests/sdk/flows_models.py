"""The rest of the SDK on the same base URL: chats, embeddings, models and moderations, which a model server answers."""

import openai
from harness import GREETING, MODEL, SCRIPTED, SCRIPTED_TEXT, client, flow, raises

MESSAGES = [{"role": "user", "content": GREETING}]
# A small real model is slow.
SHORT = {} if SCRIPTED else {"temperature": 0, "max_tokens": 16}


@flow
def models_chat():
    """A chat, whole and streamed"""
    whole = client.chat.completions.create(model=MODEL, messages=MESSAGES, **SHORT)
    assert whole.object == "chat.completion", whole
    assert whole.choices[0].message.content, whole
    assert whole._request_id.startswith("req_"), whole._request_id

    with client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True, **SHORT) as stream:
        chunks = list(stream)
    assert all(chunk.object == "chat.completion.chunk" for chunk in chunks), chunks
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said, chunks
    if SCRIPTED:
        assert said == whole.choices[0].message.content == SCRIPTED_TEXT, said


@flow
def models_chat_left():
    """A stream that is left in the middle"""
    with client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True, **SHORT) as stream:
        next(iter(stream))


@flow
async def models_chat_async():
    async with openai.AsyncOpenAI(base_url=client.base_url, api_key=client.api_key, max_retries=0) as other:
        stream = await other.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True, **SHORT)
        said = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
    assert "".join(said), said


@flow
def models_list():
    """The models, and one of them"""
    models = list(client.models.list())
    assert models and all(model.object == "model" for model in models), models
    assert all(isinstance(model.created, int) and model.owned_by for model in models), models
    one = client.models.retrieve(models[0].id)
    assert (one.id, one.created, one.owned_by) == (models[0].id, models[0].created, models[0].owned_by), one
    message = "The model 'nothing' does not exist or you do not have access to it\\."
    with raises(openai.NotFoundError, message, code="model_not_found"):
        client.models.retrieve("nothing")
    with raises(openai.BadRequestError, code="model_not_deletable", param="model"):
        client.models.delete(models[0].id)


@flow(scripted=True)
def models_embeddings():
    """Embeddings"""
    made = client.embeddings.create(model="text-embedding-3-small", input=["a dog", "a car"])
    assert [one.index for one in made.data] == [0, 1], made
    assert len(made.data[0].embedding) == len(made.data[1].embedding) > 1, made
    assert made.data[0].embedding != made.data[1].embedding, made


@flow(scripted=True)
def models_moderations():
    """Moderations, whose model has a default"""
    judged = client.moderations.create(input="a dog")
    assert judged.model == "omni-moderation-latest", judged
    assert judged.results[0].flagged is False, judged


@flow(scripted=True)
def models_transcription():
    """A file in a form, which comes before the model's name"""
    heard = client.audio.transcriptions.create(file=("a.wav", b"RIFF...."), model="whisper-1")
    assert heard.text == "whisper-1 heard a.wav", heard


@flow
def models_without_key():
    other = openai.OpenAI(base_url=client.base_url, api_key="wrong", max_retries=0)
    with raises(openai.AuthenticationError, code="invalid_api_key"):
        other.chat.completions.create(model=MODEL, messages=MESSAGES)
