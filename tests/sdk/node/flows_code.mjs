// `code_interpreter` through the Node SDKs: a table in, an answer, a picture and a table out.

import assert from 'node:assert/strict';

import { aFile } from './flows_files.mjs';
import {
  answersOf,
  assertEnded,
  client,
  deleteFile,
  flow,
  isV1,
  runs,
  stepsOf,
  threads,
  withAssistant,
} from './harness.mjs';

const tool = { type: 'code_interpreter' };
const cities = 'city,people\nParis,2\nRome,3\n';
const code = `import matplotlib.pyplot as plt
import pandas as pd

cities = pd.read_csv('/mnt/data/cities.csv')
print(cities['people'].sum())
cities.plot(x='city', y='people', kind='bar')
plt.savefig('/mnt/data/plot.png')
cities.assign(double=cities['people'] * 2).to_csv('/mnt/data/doubled.csv', index=False)`;
const doubled = 'city,people,double\nParis,2,4\nRome,3,6\n';

function aThread(file) {
  const attached = isV1
    ? { file_ids: [file.id] }
    : { attachments: [{ file_id: file.id, tools: [tool] }] };
  return threads.create({ messages: [{ role: 'user', content: `Run this:\n${code}`, ...attached }] });
}

// The picture's file, of a call that is as it should be.
function pictureOf(call) {
  const { input, outputs } = call.code_interpreter;
  assert.equal(call.type, 'code_interpreter');
  assert.equal(input, code);
  assert.deepEqual(outputs[0], { type: 'logs', logs: '5\n' });
  assert.equal(outputs[1].type, 'image');
  assert.equal(outputs.length, 2);
  return outputs[1].image.file_id;
}

// Indexes count characters, which is not what JavaScript counts.
async function assertWritten(message, picture) {
  const [image, { text }] = message.content;
  assert.equal(image.image_file.file_id, picture);
  const characters = [...text.value];
  const linked = {};
  for (const annotation of text.annotations) {
    assert.equal(annotation.type, 'file_path');
    const span = characters.slice(annotation.start_index, annotation.end_index).join('');
    assert.equal(span, annotation.text);
    linked[span] = annotation.file_path.file_id;
  }
  assert.deepEqual(Object.keys(linked).sort(), [
    'sandbox:/mnt/data/doubled.csv',
    'sandbox:/mnt/data/plot.png',
  ]);
  assert.equal(linked['sandbox:/mnt/data/plot.png'], picture);
  const table = linked['sandbox:/mnt/data/doubled.csv'];
  assert.equal(await (await client.files.content(table)).text(), doubled);
  const bytes = Buffer.from(await (await client.files.content(picture)).arrayBuffer());
  assert.equal(bytes.subarray(1, 4).toString(), 'PNG');
  for (const id of [table, picture]) await deleteFile(id);
}

async function callOf(run) {
  const [step] = (await stepsOf(run)).filter((one) => one.type === 'tool_calls');
  return step.step_details.tool_calls[0];
}

flow(
  'code',
  async () => {
    const file = await aFile('cities.csv', cities);
    await withAssistant({ tools: [tool] }, async (assistant) => {
      const thread = await aThread(file);
      const run = await runs.createAndPoll(thread.id, { assistant_id: assistant.id }, { pollIntervalMs: 50 });
      assertEnded(run, 2);
      const picture = pictureOf(await callOf(run));
      const [answer] = await answersOf(run);
      await assertWritten(answer, picture);
    });
    await deleteFile(file.id);
  },
  { scriptedOnly: true },
);

async function streamed() {
  const file = await aFile('cities.csv', cities);
  await withAssistant({ tools: [tool] }, async (assistant) => {
    const thread = await aThread(file);
    const stream = runs.stream(thread.id, { assistant_id: assistant.id });
    let input = '';
    const [outputs, pictures] = [[], []];
    stream.on('toolCallDelta', (delta) => {
      input += delta.code_interpreter.input ?? '';
      outputs.push(...(delta.code_interpreter.outputs ?? []));
    });
    stream.on('imageFileDone', (image) => pictures.push(image.file_id));
    const call = await callOf(await stream.finalRun());
    const picture = pictureOf(call);
    assert.equal(input, code);
    const told = outputs.map(({ index: _, ...output }) => output);
    assert.deepEqual(told, call.code_interpreter.outputs);
    assert.deepEqual(pictures, [picture]);
    const [message] = await stream.finalMessages();
    await assertWritten(message, picture);
  });
  await deleteFile(file.id);
}

// The helper of Node 4.33.1 does not put calls together.
if (!isV1) flow('code_stream', streamed, { scriptedOnly: true });
