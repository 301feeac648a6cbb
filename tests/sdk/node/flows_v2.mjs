// What only Node SDKs that send `assistants=v2` have.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';

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
  deleteAssistant,
  deleteFile,
  deletion,
  files,
  flow,
  greeting,
  listSteps,
  messages,
  model,
  rejects,
  retrieveMessage,
  runs,
  textOf,
  textRun,
  threads,
  withAssistant,
} from './harness.mjs';

const { toFile } = OpenAI;
const { uploads } = client;

flow('v2RequestId', async () => {
  const assistant = await assistants.create({ model });
  assert.match(assistant._request_id, /^req_[0-9a-f]{32}$/);
  assert.deepEqual([assistant.temperature, assistant.top_p, assistant.response_format], [1, 1, 'auto']);
  assert.ok('tool_resources' in assistant && !('file_ids' in assistant), JSON.stringify(assistant));
  await deleteAssistant(assistant.id);
});

flow('v2MessageDelete', async () => {
  const thread = await aThread('One');
  const message = await messages.create(thread.id, { role: 'user', content: [{ type: 'text', text: 'Two' }] });
  assert.equal(textOf(message), 'Two');
  const gone = await messages.delete(message.id, { thread_id: thread.id });
  assert.deepEqual({ ...gone }, deletion(message.id, 'thread.message.deleted'));
  assert.deepEqual((await all(messages.list(thread.id))).map(textOf), ['One']);
  await rejects(
    () => retrieveMessage(thread.id, message.id),
    OpenAI.NotFoundError,
    new RegExp(`^No message found with id '${message.id}'\\.$`),
  );
});

flow('v2FilePages', async () => {
  const ids = [];
  for (let n = 0; n < 5; n++) ids.push((await aFile(`page ${n}.txt`, `${n}`, 'user_data')).id);
  const walk = async (query) =>
    (await all(files.list({ purpose: 'user_data', ...query }))).map((one) => one.id).filter((id) => ids.includes(id));
  assert.deepEqual(await walk({}), ids.toReversed());
  assert.deepEqual(await walk({ limit: 2 }), ids.toReversed());
  assert.deepEqual(await walk({ limit: 2, order: 'asc', after: ids[1] }), ids.slice(2));
  for (const id of ids) await deleteFile(id);
});

flow('v2FileExpiry', async () => {
  const file = await files.create({
    file: await toFile(Buffer.from('short-lived'), 'brief.txt'),
    purpose: 'user_data',
    expires_after: { anchor: 'created_at', seconds: 3600 },
  });
  assert.equal(file.expires_at, file.created_at + 3600);
  await deleteFile(file.id);
});

flow('v2Uploads', async () => {
  const pieces = [Buffer.alloc(70_000, 'a'), Buffer.from('Grüße'), Buffer.alloc(3, 'z')];
  const whole = Buffer.concat(pieces);
  const create = { filename: 'Größe.txt', purpose: 'assistants', bytes: whole.length, mime_type: 'text/plain' };
  const upload = await uploads.create(create);
  assert.match(upload.id, /^upload_[A-Za-z0-9]+$/);
  assert.deepEqual([upload.object, upload.status, upload.bytes], ['upload', 'pending', whole.length]);
  assert.ok(upload.expires_at > upload.created_at);
  const parts = [];
  for (const [n, piece] of pieces.entries()) {
    parts.push(await uploads.parts.create(upload.id, { data: await toFile(piece, `${n}`) }));
    assert.match(parts[n].id, /^part_[A-Za-z0-9]+$/);
    assert.deepEqual([parts[n].object, parts[n].upload_id], ['upload.part', upload.id]);
  }
  const md5 = createHash('md5').update(whole).digest('hex');
  const completed = await uploads.complete(upload.id, { part_ids: parts.map((part) => part.id), md5 });
  assert.equal(completed.status, 'completed');
  assert.deepEqual([completed.file.filename, completed.file.bytes], ['Größe.txt', whole.length]);
  const content = await files.content(completed.file.id);
  assert.ok(Buffer.from(await content.arrayBuffer()).equals(whole));
  await deleteFile(completed.file.id);

  const dropped = await uploads.create(create);
  assert.equal((await uploads.cancel(dropped.id)).status, 'cancelled');
  await assert.rejects(
    async () => uploads.parts.create(dropped.id, { data: await toFile(pieces[0], 'late') }),
    OpenAI.BadRequestError,
  );
});

flow('v2Resources', async () => {
  const [first, second] = [await aFile('1.csv', 'a,b\n1,2\n'), await aFile('2.csv', 'a,b\n3,4\n')];
  const resources = (...ids) => ({ code_interpreter: { file_ids: ids } });
  const tools = [{ type: 'code_interpreter' }];
  await withAssistant({ tools, tool_resources: resources(first.id) }, async (assistant) => {
    assert.deepEqual(assistant.tool_resources.code_interpreter, { file_ids: [first.id] });
    const updated = await assistants.update(assistant.id, { tool_resources: resources(second.id, first.id) });
    assert.deepEqual(updated.tool_resources.code_interpreter, { file_ids: [second.id, first.id] });

    const thread = await threads.create({ tool_resources: resources(second.id) });
    assert.deepEqual(thread.tool_resources.code_interpreter, { file_ids: [second.id] });
    const attachments = [{ file_id: first.id, tools }];
    const message = await messages.create(thread.id, { role: 'user', content: greeting, attachments });
    assert.deepEqual(message.attachments, attachments);
    const run = await runs.createAndPoll(thread.id, { assistant_id: assistant.id, ...textRun });
    assertEnded(run, 1);
    assertAnswer((await answersOf(run))[0], run);
    const include = ['step_details.tool_calls[*].file_search.results[*].content'];
    const [step] = await all(listSteps(thread.id, run.id, { include }));
    assert.equal(step.status, 'completed');
  });
  for (const file of [first, second]) await deleteFile(file.id);
});

// One white pixel.
const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=';

flow('v2Images', async () => {
  const image = await files.create({ file: await toFile(Buffer.from(PNG, 'base64'), 'dot.png'), purpose: 'vision' });
  const url = 'https://example.com/cat.png';
  const thread = await threads.create();
  const message = await messages.create(thread.id, {
    role: 'user',
    content: [
      { type: 'text', text: 'What is this?' },
      { type: 'image_file', image_file: { file_id: image.id, detail: 'low' } },
      { type: 'image_url', image_url: { url } },
    ],
  });
  assert.deepEqual(message.content.slice(1), [
    { type: 'image_file', image_file: { file_id: image.id, detail: 'low' } },
    { type: 'image_url', image_url: { url, detail: 'auto' } },
  ]);
  assert.deepEqual(await retrieveMessage(thread.id, message.id), message);
  await deleteFile(image.id);
});
