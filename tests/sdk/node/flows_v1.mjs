// What only the Node SDK that sends `assistants=v1` has: files of assistants and messages, `retrieval`, and helpers
// under their first names.

import assert from 'node:assert/strict';

import { aFile } from './flows_files.mjs';
import {
  OpenAI,
  aThread,
  all,
  answersOf,
  assertAnswer,
  assertEnded,
  assistants,
  client,
  deleteFile,
  deletion,
  files,
  flow,
  greeting,
  messages,
  model,
  noSuch,
  record,
  rejects,
  retrieveMessage,
  runs,
  scripted,
  textRun,
  threads,
  updateMessage,
  withAssistant,
} from './harness.mjs';

function assertV1(value) {
  assert.ok(Array.isArray(value.file_ids), JSON.stringify(value));
  for (const name of ['tool_resources', 'attachments']) assert.ok(!(name in value), JSON.stringify(value));
}

flow('v1Shapes', () =>
  withAssistant({ tools: [{ type: 'code_interpreter' }, { type: 'retrieval' }], file_ids: [] }, async (assistant) => {
    assertV1(assistant);
    assert.deepEqual(assistant.tools, [{ type: 'code_interpreter' }, { type: 'retrieval' }]);
    const thread = await aThread(greeting);
    assert.ok(!('tool_resources' in thread));
    const run = await runs.createAndPoll(thread.id, { assistant_id: assistant.id, ...textRun });
    assertEnded(run, 1);
    assertV1(run);
    const [answer] = await answersOf(run);
    assertAnswer(answer, run);
    assertV1(answer);
  }),
);

flow('v1AssistantFiles', async () => {
  const [first, second, third] = [await aFile('1.txt'), await aFile('2.txt'), await aFile('3.txt')];
  await withAssistant({ tools: [{ type: 'retrieval' }], file_ids: [first.id] }, async (assistant) => {
    assert.deepEqual(assistant.file_ids, [first.id]);
    const attached = await assistants.files.create(assistant.id, { file_id: second.id });
    const { created_at, ...rest } = attached;
    assert.deepEqual(rest, { id: second.id, object: 'assistant.file', assistant_id: assistant.id });
    assert.ok(created_at > 0);
    assert.deepEqual(await assistants.files.retrieve(assistant.id, second.id), attached);
    await assistants.files.create(assistant.id, { file_id: third.id });
    const ids = [first.id, second.id, third.id];
    const listed = async (query) => (await all(assistants.files.list(assistant.id, query))).map((one) => one.id);
    assert.deepEqual(await listed({ order: 'asc', limit: 2 }), ids);
    assert.deepEqual(await listed({ limit: 1 }), ids.toReversed());
    assert.deepEqual((await assistants.retrieve(assistant.id)).file_ids.toSorted(), ids.toSorted());

    // The file goes from the assistant, not from the world.
    const gone = await assistants.files.del(assistant.id, second.id);
    assert.deepEqual({ ...gone }, deletion(second.id, 'assistant.file.deleted'));
    assert.deepEqual(await files.retrieve(second.id), second);
    assert.deepEqual((await assistants.retrieve(assistant.id)).file_ids.toSorted(), [first.id, third.id].toSorted());
    await assert.rejects(() => assistants.files.retrieve(assistant.id, second.id), OpenAI.NotFoundError);
    await rejects(
      () => assistants.update(assistant.id, { file_ids: [`file-${noSuch}`] }),
      OpenAI.BadRequestError,
      /^No such File object: file-0+$/,
      { param: 'id' },
    );
    const updated = await assistants.update(assistant.id, { file_ids: [second.id] });
    assert.deepEqual(updated.file_ids, [second.id]);
  });
  for (const file of [first, second, third]) await deleteFile(file.id);
});

flow('v1MessageFiles', async () => {
  const [first, second] = [await aFile('1.txt'), await aFile('2.txt')];
  const ids = [first.id, second.id];
  const thread = await threads.create({ messages: [{ role: 'user', content: 'Read.', file_ids: ids }] });
  const [message] = await all(messages.list(thread.id));
  assertV1(message);
  assert.deepEqual(message.file_ids, ids);
  const listed = await all(messages.files.list(thread.id, message.id, { order: 'asc', limit: 1 }));
  assert.deepEqual(
    listed.map((one) => one.id),
    ids,
  );
  const { created_at, ...rest } = listed[0];
  assert.deepEqual(rest, { id: first.id, object: 'thread.message.file', message_id: message.id });
  assert.ok(created_at > 0);
  assert.deepEqual(await messages.files.retrieve(thread.id, message.id, first.id), listed[0]);

  const created = await messages.create(thread.id, { role: 'user', content: 'And this.', file_ids: [second.id] });
  assert.deepEqual(created.file_ids, [second.id]);
  const updated = await updateMessage(thread.id, created.id, { metadata: { k: 'v' } });
  assert.deepEqual(updated.file_ids, [second.id]);
  assert.deepEqual(await retrieveMessage(thread.id, created.id), updated);
  await assert.rejects(() => messages.files.retrieve(thread.id, created.id, first.id), OpenAI.NotFoundError);
  assert.deepEqual(
    await all(
      messages.files.list(thread.id, (await messages.create(thread.id, { role: 'user', content: 'None.' })).id),
    ),
    [],
  );
  for (const id of ids) await deleteFile(id);
});

flow('v1RunFiles', async () => {
  const file = await aFile();
  await withAssistant({ file_ids: [file.id] }, async (assistant) => {
    const thread = await threads.create({ messages: [{ role: 'user', content: greeting, file_ids: [file.id] }] });
    const run = await runs.createAndPoll(thread.id, { assistant_id: assistant.id, ...textRun });
    assertEnded(run, 1);
    assert.deepEqual(run.file_ids, [file.id]);
  });
  await deleteFile(file.id);
});

flow('v1Retrieval', async () => {
  const text = 'Favorite foods.\nFilip Carola: cake. Tekakwitha Effie: pizza.';
  const file = await aFile('foods.txt', text);
  const tools = [{ type: 'retrieval' }];
  await withAssistant({ tools, file_ids: [file.id] }, async (assistant) => {
    const thread = await aThread('Which food likes Filip Carola?');
    const limits = scripted ? {} : { ...textRun, max_completion_tokens: 96 };
    const body = { assistant_id: assistant.id, tool_choice: tools[0], ...limits };
    const stream = runs.createAndStream(thread.id, body);
    const steps = await stream.finalRunSteps();
    const run = await stream.finalRun();
    assertEnded(run, 2);
    const { id, ...call } = steps[0].step_details.tool_calls[0];
    assert.match(id, /^call_[A-Za-z0-9]+$/);
    assert.deepEqual(call, { type: 'retrieval', retrieval: {} });
    for (const answer of await answersOf(run)) {
      const { value, annotations } = answer.content[0].text;
      assert.ok(annotations.length > 0 || !scripted, value);
      for (const { type, text: marker, start_index, end_index, file_citation } of annotations) {
        assert.equal(type, 'file_citation');
        assert.equal([...value].slice(start_index, end_index).join(''), marker);
        assert.equal(file_citation.file_id, file.id);
        assert.ok(file_citation.quote && text.includes(file_citation.quote), file_citation.quote);
      }
    }
  });
  await deleteFile(file.id);
});

flow('v1FileText', async () => {
  const file = await aFile('notes.txt', 'plain text');
  assert.equal(await files.retrieveContent(file.id), 'plain text');
  await deleteFile(file.id);
});

flow('v1OldStreamName', () =>
  withAssistant({}, async (assistant) => {
    const thread = await aThread(greeting);
    const stream = runs.createAndStream(thread.id, { assistant_id: assistant.id, ...textRun });
    const recorded = record(stream);
    assertEnded(await stream.finalRun(), 1);
    for (const { data } of recorded.events) {
      if (data.object === 'thread.run' || data.object === 'thread.message') assertV1(data);
    }
  }),
);

flow('v1RefusesV2', async () => {
  await assert.rejects(
    () => assistants.create({ model, tool_resources: { code_interpreter: { file_ids: [] } } }),
    (error) => error instanceof OpenAI.BadRequestError && error.error.message.includes('OpenAI-Beta'),
  );
  await assert.rejects(() => assistants.create({ model, tools: [{ type: 'file_search' }] }), OpenAI.BadRequestError);
  // The same client may ask for v2 on a single request.
  const assistant = await client.beta.assistants.create({ model }, { headers: { 'OpenAI-Beta': 'assistants=v2' } });
  assert.ok('tool_resources' in assistant && !('file_ids' in assistant), JSON.stringify(assistant));
  await assistants.del(assistant.id);
});
