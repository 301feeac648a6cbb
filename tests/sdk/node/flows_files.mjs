// Files, as all generations of the Node SDK upload, list and read them.

import assert from 'node:assert/strict';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { OpenAI, all, client, deleteFile, deletion, files, flow, noSuch, rejects } from './harness.mjs';

const { toFile } = OpenAI;

export async function aFile(
  name = 'notes.txt',
  text = 'The capital of Testland is Locumville.',
  purpose = 'assistants',
) {
  return files.create({ file: await toFile(Buffer.from(text), name), purpose });
}

function assertFile(file, { bytes, filename, purpose = 'assistants' }) {
  assert.match(file.id, /^file-[A-Za-z0-9]+$/);
  assert.ok(Math.abs(file.created_at - Date.now() / 1000) < 60, file.created_at);
  assert.deepEqual(
    [file.object, file.bytes, file.filename, file.purpose, file.status],
    ['file', bytes, filename, purpose, 'processed'],
  );
}

flow('files', async () => {
  const text = 'Grüße, 世界 🌍\n';
  const file = await aFile('Grüße 世界.txt', text);
  assertFile(file, { bytes: Buffer.byteLength(text), filename: 'Grüße 世界.txt' });
  assert.deepEqual(await files.retrieve(file.id), file);
  assert.deepEqual(await files.waitForProcessing(file.id, { pollInterval: 50 }), file);
  assert.ok((await all(files.list())).some((one) => one.id === file.id));
  assert.ok((await all(files.list({ purpose: 'assistants' }))).some((one) => one.id === file.id));
  assert.ok(!(await all(files.list({ purpose: 'fine-tune' }))).some((one) => one.id === file.id));

  const content = await files.content(file.id);
  assert.equal(content.headers.get('content-type'), 'application/octet-stream');
  assert.match(content.headers.get('content-disposition'), /^attachment; filename/);
  assert.equal(await content.text(), text);

  assert.deepEqual({ ...(await deleteFile(file.id)) }, deletion(file.id, 'file'));
  for (const request of [files.retrieve, files.content]) {
    await rejects(
      () => request.call(files, file.id),
      OpenAI.NotFoundError,
      new RegExp(`^No such File object: ${file.id}$`),
      { param: 'id' },
    );
  }
  await rejects(() => deleteFile(`file-${noSuch}`), OpenAI.NotFoundError, /^No such File object: file-0+$/, {
    param: 'id',
  });
});

flow('fileSources', async () => {
  // A stream from the disk, whose length nobody says beforehand, bytes of all values, a File, and nothing at all.
  const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, n) => n % 256));
  const folder = await mkdtemp(join(tmpdir(), 'locum-flows-'));
  const path = join(folder, 'data.bin');
  await writeFile(path, bytes);
  const sources = [
    [createReadStream(path), 'data.bin', bytes],
    [await toFile(bytes, 'buffer.bin', { type: 'application/x-locum' }), 'buffer.bin', bytes],
    [await toFile(createReadStream(path), 'named.bin'), 'named.bin', bytes],
    [new File([bytes], 'web.bin'), 'web.bin', bytes],
    [await toFile(Buffer.alloc(0), 'empty.txt'), 'empty.txt', Buffer.alloc(0)],
  ];
  try {
    for (const [source, filename, expected] of sources) {
      const file = await files.create({ file: source, purpose: 'fine-tune' });
      assertFile(file, { bytes: expected.length, filename, purpose: 'fine-tune' });
      const content = await files.content(file.id);
      assert.ok(Buffer.from(await content.arrayBuffer()).equals(expected), filename);
      await deleteFile(file.id);
    }
  } finally {
    await rm(folder, { recursive: true });
  }
});

flow('fileRefusals', async () => {
  await rejects(
    () => aFile('notes.txt', 'text', 'world_domination'),
    OpenAI.BadRequestError,
    /^'world_domination' is not one of \['fine-tune', 'assistants', .*\] - 'purpose'$/,
    { param: 'purpose' },
  );
  await assert.rejects(
    () => client.post('/files', { body: { purpose: 'assistants' } }),
    (error) => error instanceof OpenAI.APIError && error.status >= 400 && error.status < 500 && !!error.error.message,
  );
});
