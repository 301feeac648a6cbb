// The flows that all generations of the Node SDK have.

import assert from 'node:assert/strict';

import {
  OpenAI,
  aSlowRun,
  aThread,
  all,
  answersOf,
  assertAnswer,
  assertRecorded,
  assertEnded,
  assertStored,
  assistants,
  callRun,
  callsOf,
  callsStep,
  cancelRun,
  client,
  deleteAssistant,
  deleteThread,
  deletion,
  finish,
  flow,
  greeting,
  isV1,
  messages,
  model,
  noSuch,
  orderOf,
  outputsFor,
  pollRun,
  record,
  rejects,
  retrieveMessage,
  retrieveStep,
  runResumed,
  runStart,
  runs,
  scripted,
  scriptedText,
  settings,
  stepsOf,
  submitToolOutputs,
  submitToolOutputsAndPoll,
  submitToolOutputsStream,
  textCallbacks,
  textOf,
  textRun,
  textStep,
  threads,
  time,
  updateMessage,
  updateRun,
  weather,
  weatherChoice,
  weatherQuestion,
  weatherRun,
  withAssistant,
} from './harness.mjs';

flow('assistants', async () => {
  const created = await assistants.create({
    model,
    name: 'Meteorologist',
    tools: [{ type: 'code_interpreter' }, weather],
    metadata: { team: 'north' },
  });
  assert.match(created.id, /^asst_[A-Za-z0-9]+$/);
  assert.deepEqual(await assistants.retrieve(created.id), created);
  const updated = await assistants.update(created.id, { name: null, metadata: {} });
  assert.equal(updated.name, null);
  assert.deepEqual(updated.metadata, {});
  assert.deepEqual(updated.tools, created.tools);
  assert.deepEqual({ ...(await deleteAssistant(created.id)) }, deletion(created.id, 'assistant.deleted'));
  await rejects(() => assistants.retrieve(created.id), OpenAI.NotFoundError, /^No assistant found with id 'asst_/);
});

flow('pages', async () => {
  const thread = await threads.create();
  const ids = [];
  for (let n = 0; n < 25; n++) {
    ids.push((await messages.create(thread.id, { role: 'user', content: `Message ${n}` })).id);
  }
  const newestFirst = ids.toReversed();
  const idsOf = async (query) => (await all(messages.list(thread.id, query))).map((message) => message.id);
  assert.deepEqual(await idsOf({ limit: 10 }), newestFirst);
  assert.deepEqual(await idsOf({ limit: 10, order: 'asc' }), ids);
  assert.deepEqual(await idsOf({ limit: 10, after: ids[20] }), newestFirst.slice(5));
  const page = await messages.list(thread.id, { limit: 2, before: newestFirst[5] });
  assert.deepEqual(
    page.data.map((message) => message.id),
    newestFirst.slice(3, 5),
  );
  // The SDK of v1 ignores has_more and walks on to an empty page.
  const sizes = [];
  for await (const one of (await messages.list(thread.id, { limit: 10 })).iterPages()) sizes.push(one.data.length);
  assert.deepEqual(sizes, isV1 ? [10, 10, 5, 0] : [10, 10, 5]);
});

flow('threadsAndMessages', async () => {
  const thread = await threads.create({ messages: [{ role: 'user', content: 'One' }], metadata: { a: 'b' } });
  assert.deepEqual(await threads.retrieve(thread.id), thread);
  assert.deepEqual((await threads.update(thread.id, { metadata: { a: 'c' } })).metadata, { a: 'c' });
  const message = await messages.create(thread.id, { role: 'user', content: 'Two' });
  assert.equal(textOf(message), 'Two');
  assert.deepEqual(await retrieveMessage(thread.id, message.id), message);
  const updated = await updateMessage(thread.id, message.id, { metadata: { k: 'v' } });
  assert.deepEqual(updated.metadata, { k: 'v' });
  assert.deepEqual((await all(messages.list(thread.id))).map(textOf), ['Two', 'One']);
  assert.deepEqual({ ...(await deleteThread(thread.id)) }, deletion(thread.id, 'thread.deleted'));
  await rejects(() => threads.retrieve(thread.id), OpenAI.NotFoundError, /^No thread found with id 'thread_/);
});

flow('poll', () =>
  withAssistant({}, async (assistant) => {
    const thread = await aThread(greeting);
    // The interval is the server's: without its header the SDK would wait five seconds.
    const started = Date.now();
    const run = await runs.createAndPoll(thread.id, { assistant_id: assistant.id, ...textRun });
    if (scripted) assert.ok(Date.now() - started < 4000, 'the SDK did not see openai-poll-after-ms');
    assertEnded(run, 1);
    const [answer] = await answersOf(run);
    assertAnswer(answer, run);
    const [step] = await stepsOf(run);
    assert.equal(step.step_details.message_creation.message_id, answer.id);
    assert.equal(step.status, 'completed');
    assert.deepEqual(await retrieveStep(thread.id, run.id, step.id), step);
    assert.deepEqual(
      (await all(runs.list(thread.id))).map((one) => one.id),
      [run.id],
    );
    const updated = await updateRun(thread.id, run.id, { metadata: { seen: 'yes' } });
    assert.deepEqual(updated.metadata, { seen: 'yes' });

    const both = await threads.createAndRunPoll({
      assistant_id: assistant.id,
      thread: { messages: [{ role: 'user', content: greeting }] },
      ...textRun,
    });
    assertEnded(both, 1);
  }),
);

flow('streamHelper', () =>
  withAssistant({}, async (assistant) => {
    const thread = await aThread(greeting);
    const stream = runs.stream(thread.id, { assistant_id: assistant.id, ...textRun });
    const recorded = record(stream);
    const run = await stream.finalRun();
    assertEnded(run, 1);
    assert.deepEqual(recorded.fired, textCallbacks);
    assert.deepEqual(orderOf(recorded.events), [...runStart, ...textStep, 'thread.run.completed']);
    await assertStored(recorded.events);
    const [message] = await stream.finalMessages();
    assert.equal(textOf(message), recorded.text);
    if (scripted) assert.equal(recorded.text, scriptedText);
    assert.equal((await stream.finalRunSteps()).length, 1);
    assert.equal(stream.currentRun().id, run.id);
  }),
);

flow('streamRaw', () =>
  withAssistant({}, async (assistant) => {
    const thread = await aThread(greeting);
    const { data: stream, response } = await runs
      .create(thread.id, { assistant_id: assistant.id, stream: true, ...textRun })
      .withResponse();
    assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8');
    assert.match(response.headers.get('x-request-id'), /^req_[0-9a-f]{32}$/);
    const events = await all(stream);
    assert.deepEqual(orderOf(events), [...runStart, ...textStep, 'thread.run.completed']);
    await assertStored(events);
  }),
);

flow('createAndRunStream', () =>
  withAssistant({}, async (assistant) => {
    const request = {
      assistant_id: assistant.id,
      thread: { messages: [{ role: 'user', content: greeting }] },
      ...textRun,
    };
    const stream = threads.createAndRunStream(request);
    const recorded = record(stream);
    assertEnded(await stream.finalRun(), 1);
    assert.deepEqual(orderOf(recorded.events), ['thread.created', ...runStart, ...textStep, 'thread.run.completed']);

    // The helper is an async iterator too.
    const events = await all(threads.createAndRunStream(request));
    assert.equal(events.at(-1).data.thread_id, events[0].data.id);
  }),
);

flow('functionCallPolled', () =>
  withAssistant({ tools: [weather] }, async (assistant) => {
    const thread = await aThread(weatherQuestion);
    let run = await runs.createAndPoll(thread.id, { assistant_id: assistant.id, ...weatherRun });
    assert.equal(callsOf(run)[0].function.name, 'get_weather');
    run = await finish(run);
    const [step] = await stepsOf(run);
    assert.equal(step.step_details.tool_calls[0].function.output, 'sunny');
    if (scripted) assertAnswer((await answersOf(run)).at(-1), run, 'Tool said: sunny');
  }),
);

flow('functionCallStreamed', () =>
  withAssistant({ tools: [weather] }, async (assistant) => {
    const thread = await aThread(weatherQuestion);
    const first = runs.stream(thread.id, { assistant_id: assistant.id, ...weatherRun });
    const asked = record(first);
    const run = await first.finalRun();
    const calls = callsOf(run);
    assert.deepEqual(asked.fired, [
      'connect',
      'runStepCreated',
      'toolCallCreated',
      'runStepDelta',
      'toolCallDelta',
      'toolCallDone',
      'end',
    ]);
    assert.deepEqual(orderOf(asked.events), [...runStart, ...callsStep, 'thread.run.requires_action']);
    assertRecorded(asked, calls);

    const second = submitToolOutputsStream(thread.id, run.id, { tool_outputs: outputsFor(calls) });
    const answered = record(second);
    const resumed = await second.finalRun();
    const step = answered.events[0].data;
    assert.equal(answered.events[0].event, 'thread.run.step.completed');
    assert.equal(step.step_details.tool_calls[0].function.output, 'sunny');
    if (scripted) {
      assert.deepEqual(orderOf(answered.events), [...runResumed, ...textStep, 'thread.run.completed']);
      assert.equal(answered.text, 'Tool said: sunny');
      assertEnded(resumed, 2);
      await assertStored(answered.events);
    }
    await finish(resumed);
  }),
);

flow('forcedCall', () =>
  withAssistant({ tools: [weather] }, async (assistant) => {
    for (const tool_choice of isV1 ? [weatherChoice] : [weatherChoice, 'required']) {
      const thread = await aThread('What is the weather in Paris right now?');
      const run = await runs.createAndPoll(
        thread.id,
        { assistant_id: assistant.id, tool_choice, ...callRun },
        { pollIntervalMs: 50 },
      );
      assert.deepEqual(run.tool_choice, tool_choice);
      assert.equal(callsOf(run)[0].function.name, 'get_weather');
      await finish(run);
    }
  }),
);

flow(
  'parallelCalls',
  () =>
    withAssistant({ tools: [weather, time] }, async (assistant) => {
      const thread = await aThread('call get_weather and call get_time');
      const stream = runs.stream(thread.id, { assistant_id: assistant.id });
      const recorded = record(stream);
      const run = await stream.finalRun();
      const calls = callsOf(run);
      assert.deepEqual(
        calls.map((call) => call.function.name),
        ['get_weather', 'get_time'],
      );
      assertRecorded(recorded, calls);
      await rejects(
        () => submitToolOutputs(thread.id, run.id, { tool_outputs: outputsFor(calls.slice(1)) }),
        OpenAI.BadRequestError,
        /^Expected tool outputs for call_ids \['call_\w+', 'call_\w+'\], got \['call_\w+'\]$/,
      );
      const ended = await submitToolOutputsAndPoll(thread.id, run.id, { tool_outputs: outputsFor(calls) });
      assertEnded(ended, 2);
      assertAnswer((await answersOf(ended))[0], ended, 'Tool said: sunny, noon');
    }),
  { scriptedOnly: true },
);

flow(
  'textBeforeCall',
  () =>
    withAssistant({ tools: [weather] }, async (assistant) => {
      const thread = await aThread('say first, then call get_weather');
      const stream = runs.stream(thread.id, { assistant_id: assistant.id });
      const recorded = record(stream);
      const run = await stream.finalRun();
      assert.deepEqual(orderOf(recorded.events), [
        ...runStart,
        ...textStep,
        ...callsStep,
        'thread.run.requires_action',
      ]);
      assert.equal(recorded.text, 'Let me look.');
      const ended = await finish(run);
      assert.deepEqual((await answersOf(ended)).map(textOf), ['Let me look.', 'Tool said: sunny']);
    }),
  { scriptedOnly: true },
);

flow(
  'cancel',
  () =>
    withAssistant({}, async (assistant) => {
      const run = await aSlowRun(assistant);
      assert.equal((await cancelRun(run.thread_id, run.id)).status, 'cancelling');
      const ended = await pollRun(run.thread_id, run.id, { pollIntervalMs: 50 });
      assert.equal(ended.status, 'cancelled');
      assert.ok(ended.cancelled_at);
      await rejects(
        () => cancelRun(run.thread_id, run.id),
        OpenAI.BadRequestError,
        /^Cannot cancel run with status 'cancelled'\.$/,
      );
    }),
  { scriptedOnly: true },
);

flow(
  'cancelStreamed',
  () =>
    withAssistant({}, async (assistant) => {
      const thread = await aThread('Be slow.');
      const stream = runs.stream(thread.id, { assistant_id: assistant.id });
      const recorded = record(stream);
      let asked;
      stream.once('textDelta', () => {
        asked = cancelRun(thread.id, stream.currentRun().id);
      });
      const run = await stream.finalRun();
      assert.equal((await asked).status, 'cancelling');
      assert.equal(run.status, 'cancelled');
      assert.deepEqual(
        orderOf(recorded.events).filter((name) => !name.endsWith('.delta')),
        [
          ...runStart,
          ...textStep.slice(0, 4),
          'thread.run.cancelling',
          'thread.message.incomplete',
          'thread.run.step.cancelled',
          'thread.run.cancelled',
        ],
      );
      await assertStored(recorded.events);
    }),
  { scriptedOnly: true },
);

flow(
  'busyThread',
  () =>
    withAssistant({}, async (assistant) => {
      const run = await aSlowRun(assistant);
      const { id, thread_id } = run;
      await rejects(
        () => messages.create(thread_id, { role: 'user', content: 'And?' }),
        OpenAI.BadRequestError,
        new RegExp(`^Can't add messages to ${thread_id} while a run ${id} is active\\.$`),
      );
      await rejects(
        () => runs.create(thread_id, { assistant_id: assistant.id }),
        OpenAI.BadRequestError,
        new RegExp(`^Thread ${thread_id} already has an active run ${id}\\.$`),
      );
      await cancelRun(thread_id, id);
      assert.equal((await pollRun(thread_id, id, { pollIntervalMs: 50 })).status, 'cancelled');
    }),
  { scriptedOnly: true },
);

flow('aborted', () =>
  withAssistant({}, async (assistant) => {
    const thread = await aThread(greeting);
    const stream = runs.stream(thread.id, { assistant_id: assistant.id, ...textRun });
    const created = new Promise((resolve) => stream.once('event', resolve));
    const failed = assert.rejects(stream.done(), OpenAI.APIUserAbortError);
    const run = (await created).data;
    stream.abort();
    await failed;
    // The run goes on when its client leaves.
    assertEnded(await pollRun(thread.id, run.id, { pollIntervalMs: 50 }), 1);
  }),
);

flow('errors', async () => {
  const thread = await aThread(greeting);
  await rejects(
    () => assistants.retrieve(`asst_${noSuch}`),
    OpenAI.NotFoundError,
    new RegExp(`^No assistant found with id 'asst_${noSuch}'\\.$`),
  );
  await rejects(
    () => new OpenAI({ ...settings, apiKey: 'lk_wrongwrongwrong' }).beta.assistants.list(),
    OpenAI.AuthenticationError,
    /^Incorrect API key provided: (?!lk_wrongwrongwrong)/,
    { code: 'invalid_api_key' },
  );
  // v1 takes booleans and numbers.
  await rejects(
    () => assistants.create({ model, metadata: { k: ['a'] } }),
    OpenAI.BadRequestError,
    /^Invalid type for 'metadata\.k': expected a string, but got an array instead\.$/,
    { code: 'invalid_type', param: 'metadata.k' },
  );
  await rejects(
    () => assistants.create({ name: 'No model' }),
    OpenAI.BadRequestError,
    /^Missing required parameter: 'model'\.$/,
    { code: 'missing_required_parameter', param: 'model' },
  );
  // A stream that cannot start is a plain error, raw and through the helper.
  const nobody = { assistant_id: `asst_${noSuch}` };
  await rejects(
    () => runs.create(thread.id, { ...nobody, stream: true }),
    OpenAI.NotFoundError,
    /^No assistant found with id/,
  );
  await rejects(() => runs.stream(thread.id, nobody).finalRun(), OpenAI.NotFoundError, /^No assistant found with id/);
});

flow('headers', async () => {
  const { data, response } = await assistants.list({ limit: 1 }).withResponse();
  assert.ok(data.data.length <= 1);
  assert.match(response.headers.get('x-request-id'), /^req_[0-9a-f]{32}$/);
  assert.match(response.headers.get('openai-processing-ms'), /^[0-9]+$/);
  assert.equal(response.headers.get('openai-version'), '2020-10-01');
});
