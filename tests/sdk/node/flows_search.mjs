// Vector stores and file search, as the Node SDKs that send `assistants=v2` have them.

import assert from 'node:assert/strict';

import { aFile } from './flows_files.mjs';
import {
  OpenAI,
  all,
  answersOf,
  assertEnded,
  client,
  deleteFile,
  deletion,
  flow,
  listSteps,
  messages,
  orderOf,
  rejects,
  retrieveMessage,
  runStart,
  runs,
  scripted,
  textRun,
  textStep,
  threads,
  withAssistant,
} from './harness.mjs';

const { toFile } = OpenAI;
const { vectorStores } = client;

const foods = ['foods.txt', 'Favorite foods.\nFilip Carola: cake. Tekakwitha Effie: pizza.'];
const colors = ['colors.txt', 'Numbers of colors.\nThe number for blue is 2. The number for green is 4.'];
// Its words, the common ones too, are in the first file alone.
const question = 'Which food likes Filip Carola?';
const found = 'Größe 🌍: found in ';

const quick = { pollIntervalMs: 20 };
const tool = { type: 'file_search' };
// A small real model may go on searching: its run ends by its tokens.
const limits = scripted ? {} : { ...textRun, max_completion_tokens: 96, max_prompt_tokens: 2000 };
const forced = { tool_choice: tool, ...limits };
const include = ['step_details.tool_calls[*].file_search.results[*].content'];
const chunking = { type: 'static', static: { max_chunk_size_tokens: 200, chunk_overlap_tokens: 50 } };
const searchStep = [
  'thread.run.step.created',
  'thread.run.step.in_progress',
  'thread.run.step.delta',
  'thread.run.step.completed',
];

const fileOf = ([name, text]) => toFile(Buffer.from(text), name);
const counts = (total) => ({ in_progress: 0, completed: total, failed: 0, cancelled: 0, total });
const resources = (...ids) => ({ file_search: { vector_store_ids: ids } });

async function aStore(...files) {
  const store = await vectorStores.create({});
  await vectorStores.fileBatches.createAndPoll(store.id, { file_ids: files.map((file) => file.id) }, quick);
  return store;
}

async function deleteAll(store, ...files) {
  assert.deepEqual({ ...(await vectorStores.delete(store.id)) }, deletion(store.id, 'vector_store.deleted'));
  for (const file of files) await deleteFile(file.id);
}

const ofStore = (store) => ({ vector_store_id: store.id });

flow('stores', async () => {
  const expires_after = { anchor: 'last_active_at', days: 3 };
  const store = await vectorStores.create({ name: 'Papers', expires_after, metadata: { k: 'v' } });
  assert.match(store.id, /^vs_[A-Za-z0-9]+$/);
  assert.deepEqual([store.object, store.name, store.status], ['vector_store', 'Papers', 'completed']);
  assert.equal(store.expires_at, store.last_active_at + 3 * 86_400);
  const updated = await vectorStores.update(store.id, { name: 'Other', expires_after: null });
  assert.deepEqual([updated.name, updated.expires_after, updated.metadata], ['Other', null, { k: 'v' }]);
  assert.deepEqual(await vectorStores.retrieve(store.id), updated);
  assert.ok((await all(vectorStores.list({ limit: 2 }))).some((one) => one.id === store.id));

  const uploaded = await vectorStores.files.uploadAndPoll(store.id, await fileOf(foods), quick);
  assert.deepEqual([uploaded.status, uploaded.last_error, uploaded.attributes], ['completed', null, {}]);
  const file = await aFile(...colors);
  const attributes = { kind: 'color', year: 2024, open: true };
  const body = { file_id: file.id, attributes, chunking_strategy: chunking };
  const made = await vectorStores.files.createAndPoll(store.id, body, quick);
  assert.deepEqual([made.id, made.status, made.attributes], [file.id, 'completed', attributes]);
  assert.deepEqual(made.chunking_strategy, chunking);
  const changed = await vectorStores.files.update(file.id, { ...ofStore(store), attributes: { kind: 'number' } });
  assert.deepEqual(changed.attributes, { kind: 'number' });
  const texts = await all(vectorStores.files.content(file.id, ofStore(store)));
  assert.equal(texts.map((one) => one.text).join(''), colors[1]);
  const listed = await all(vectorStores.files.list(store.id, { order: 'asc', limit: 1, filter: 'completed' }));
  assert.deepEqual(
    listed.map((one) => one.id),
    [uploaded.id, file.id],
  );
  const gone = await vectorStores.files.delete(file.id, ofStore(store));
  assert.deepEqual({ ...gone }, deletion(file.id, 'vector_store.file.deleted'));
  await rejects(
    () => vectorStores.files.retrieve(file.id, ofStore(store)),
    OpenAI.NotFoundError,
    new RegExp(`'${file.id}'.*'${store.id}'`),
  );
  await deleteAll(store, uploaded, file);
});

flow('storeBatches', async () => {
  const store = await vectorStores.create({});
  const atlas = await aFile('atlas.txt', 'The whole atlas.');
  const sources = [];
  for (let n = 0; n < 6; n++) sources.push(await fileOf([`${n}.txt`, `Page ${n} of the atlas.`]));
  const given = { files: sources, fileIds: [atlas.id] };
  const batch = await vectorStores.fileBatches.uploadAndPoll(store.id, given, { ...quick, maxConcurrency: 3 });
  assert.deepEqual([batch.object, batch.status], ['vector_store.file_batch', 'completed']);
  assert.deepEqual(batch.file_counts, counts(7));
  const files = await all(vectorStores.fileBatches.listFiles(batch.id, { ...ofStore(store), limit: 3 }));
  assert.equal(new Set(files.map((file) => file.id)).size, 7);
  assert.deepEqual(await vectorStores.fileBatches.retrieve(batch.id, ofStore(store)), batch);
  assert.deepEqual(await vectorStores.fileBatches.cancel(batch.id, ofStore(store)), batch);

  // A file that cannot be read: the helper ends, and the other is there.
  const broken = await aFile('broken.pdf', '%PDF-1.7\nnothing of a document');
  const one = await aFile('one.txt', 'One.');
  const body = { files: [{ file_id: broken.id }, { file_id: one.id, attributes: { n: 1 } }] };
  const mixed = await vectorStores.fileBatches.createAndPoll(store.id, body, quick);
  assert.deepEqual([mixed.file_counts.completed, mixed.file_counts.failed], [1, 1]);
  const failed = await vectorStores.files.poll(store.id, broken.id, quick);
  assert.deepEqual([failed.status, failed.last_error.code], ['failed', 'invalid_file']);
  await deleteAll(store, ...files, broken, one);
});

flow('storeSearch', async () => {
  const store = await vectorStores.create({});
  const files = {};
  for (const [name, text, attributes] of [
    ['paris', 'Paris is the capital of France.', { country: 'fr', year: 2020 }],
    ['lyon', 'Lyon is the third city of France.', { country: 'fr', year: 2024 }],
    ['rome', 'Rome is the capital of Italy.', { country: 'it', year: 2022.5 }],
  ]) {
    files[name] = await aFile(`${name}.txt`, text);
    await vectorStores.files.createAndPoll(store.id, { file_id: files[name].id, attributes }, quick);
  }
  const search = async (query, fields = {}) => {
    const results = await all(vectorStores.search(store.id, { query, ...fields }));
    for (const { score, content } of results) {
      assert.ok(score > 0 && score <= 1, score);
      assert.deepEqual([content.length, content[0].type], [1, 'text']);
    }
    return results.map((one) => one.filename.replace('.txt', '')).sort();
  };
  const fr = { type: 'eq', key: 'country', value: 'fr' };
  const late = { type: 'gt', key: 'year', value: 2022 };
  assert.deepEqual(await search('Italy'), ['rome']);
  assert.deepEqual(await search(['Italy', 'third']), ['lyon', 'rome']);
  assert.deepEqual(await search('capital city', { filters: fr }), ['lyon', 'paris']);
  assert.deepEqual(await search('capital city', { filters: { type: 'and', filters: [fr, late] } }), ['lyon']);
  assert.equal((await search('capital city', { filters: { type: 'or', filters: [fr, late] } })).length, 3);
  assert.equal((await search('capital city', { max_num_results: 1 })).length, 1);
  const ranking_options = { ranker: 'auto', score_threshold: 1 };
  assert.deepEqual(await search('capital city', { ranking_options }), []);
  const page = await vectorStores.search(store.id, { query: 'Italy', rewrite_query: true });
  assert.deepEqual(page.data[0].attributes, { country: 'it', year: 2022.5 });
  await deleteAll(store, ...Object.values(files));
});

// The citations of a message, each of which stands where it says. Indexes count characters, not units of UTF-16.
function cited(message) {
  const { value, annotations } = message.content[0].text;
  const characters = [...value];
  return annotations.map(({ type, text, start_index, end_index, file_citation }) => {
    assert.equal(type, 'file_citation');
    assert.equal(characters.slice(start_index, end_index).join(''), text);
    return [text, file_citation.file_id];
  });
}

// The answer of the scripted model cites these files, the best first.
function assertCiting(answer, ...files) {
  const citations = cited(answer);
  if (!scripted) return;
  const markers = citations.map(([text]) => text);
  assert.equal(answer.content[0].text.value, `${found}${markers.join(' and in ')}.`);
  assert.deepEqual(
    citations.map(([, id]) => id),
    files.map((file) => file.id),
  );
  for (const marker of markers) assert.match(marker, /^【\d+:\d+†[^【】]+】$/);
}

const searchesOf = (steps) => {
  const calls = steps.filter((step) => step.type === 'tool_calls').flatMap((step) => step.step_details.tool_calls);
  assert.ok(calls.length > 0 && calls.every((call) => call.type === 'file_search'), JSON.stringify(calls));
  return calls;
};

function assertSearch(call, hasContent) {
  assert.match(call.id, /^call_[A-Za-z0-9]+$/);
  const { ranking_options, results } = call.file_search;
  assert.deepEqual(ranking_options, { ranker: 'default_2024_08_21', score_threshold: 0 });
  for (const result of results) {
    assert.ok(result.score > 0 && result.score <= 1 && result.file_name, JSON.stringify(result));
    assert.equal('content' in result, hasContent);
    if (hasContent) assert.ok([foods[1], colors[1]].some((text) => text.includes(result.content[0].text)));
  }
}

flow('fileSearch', async () => {
  const files = [await aFile(...foods), await aFile(...colors)];
  const store = await aStore(...files);
  await withAssistant({ tools: [tool], tool_resources: resources(store.id) }, async (assistant) => {
    const thread = await threads.create({ messages: [{ role: 'user', content: question }] });
    const body = { assistant_id: assistant.id, include, ...forced };
    const run = await runs.createAndPoll(thread.id, body, { pollIntervalMs: 50 });
    assertEnded(run, 2);
    for (const hasContent of [false, true]) {
      const query = { order: 'asc', ...(hasContent ? { include } : {}) };
      const steps = await all(listSteps(thread.id, run.id, query));
      for (const call of searchesOf(steps)) assertSearch(call, hasContent);
      if (scripted) assert.equal(searchesOf(steps)[0].file_search.results[0].file_id, files[0].id);
    }
    for (const answer of await answersOf(run)) assertCiting(answer, files[0]);
  });
  await deleteAll(store, ...files);
});

flow('fileSearchStream', async () => {
  const files = [await aFile(...foods), await aFile(...colors)];
  const tool_resources = { file_search: { vector_stores: [{ file_ids: [files[0].id] }] } };
  await withAssistant({ tools: [tool], tool_resources }, async (assistant) => {
    const [store] = assistant.tool_resources.file_search.vector_store_ids;
    await vectorStores.files.poll(store, files[0].id, quick);
    const attachments = [{ file_id: files[1].id, tools: [tool] }];
    const message = { role: 'user', content: `${question} And blue?`, attachments };
    const thread = await threads.create({ messages: [message] });
    const [own] = thread.tool_resources.file_search.vector_store_ids;
    const stream = runs.stream(thread.id, { assistant_id: assistant.id, include, ...forced });
    const [events, created, done, annotations] = [[], [], [], []];
    stream.on('event', (event) => events.push(structuredClone(event)));
    stream.on('toolCallCreated', (call) => created.push(call.id));
    stream.on('toolCallDone', (call) => done.push(call.id));
    stream.on('textDelta', (delta) => annotations.push(...(delta.annotations ?? [])));
    const written = await stream.finalMessages();
    assertEnded(await stream.finalRun(), 2);

    const order = orderOf(events);
    const begin = [...runStart, ...searchStep];
    assert.deepEqual(order.slice(0, begin.length), begin);
    if (scripted) assert.deepEqual(order, [...begin, ...textStep, 'thread.run.completed']);
    const steps = await stream.finalRunSteps();
    for (const call of searchesOf(steps)) assertSearch(call, true);
    assert.deepEqual([created[0], done[0]], [searchesOf(steps)[0].id, searchesOf(steps)[0].id]);
    // The helper keeps what its deltas made.
    const stored = await Promise.all(written.map((answer) => retrieveMessage(thread.id, answer.id)));
    for (const answer of stored) assertCiting(answer, ...files);
    assert.deepEqual(written.map(cited), stored.map(cited));
    if (scripted) {
      const told = stored[0].content[0].text.annotations.map((annotation, index) => ({
        ...annotation,
        file_citation: { ...annotation.file_citation, quote: '' },
        index,
      }));
      assert.deepEqual(annotations, told);
    }
    assert.deepEqual((await all(messages.list(thread.id, { order: 'asc' })))[0].attachments, attachments);
    for (const id of [store, own]) await vectorStores.delete(id);
  });
  for (const file of files) await deleteFile(file.id);
});
