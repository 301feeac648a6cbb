// The newest Node SDK that carries the Assistants API.
//
// usage: flows_node.mjs [--list | FLOW...]

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

// The SDK is in a throw-away environment, where an import would not look.
const repository = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const target = resolve(process.env.CARGO_TARGET_DIR || join(repository, 'target'));
const require = createRequire(join(target, 'sdk', 'node', 'package.json'));
const OpenAI = require('openai');
assert.equal(require('openai/version').VERSION, '6.49.0');

const url = process.env.LOCUM_TEST_URL || 'http://127.0.0.1:8080/v1';
const key = process.env.LOCUM_TEST_KEY || 'unset';
const model = process.env.LOCUM_TEST_MODEL || 'gpt-4o';
const scripted = process.env.LOCUM_TEST_SCRIPTED === '1';

// Retries are off: a request that the SDK would repeat is a finding.
const settings = { baseURL: url, apiKey: key, maxRetries: 0, timeout: 120_000 };
const client = new OpenAI(settings);
const { assistants, threads } = client.beta;
const { messages, runs } = threads;

// A small real model is slow and may ramble, so its turns are short.
const textRun = scripted ? {} : { temperature: 0, max_completion_tokens: 32 };
const callRun = scripted ? {} : { temperature: 0, max_completion_tokens: 200 };

const greeting = 'Say hello.';
const scriptedText = 'Hello from the scripted model.';
const noSuch = '0'.repeat(24);

const aFunction = (name, description) => ({
  type: 'function',
  function: {
    name,
    description,
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
});
const weather = aFunction('get_weather', 'Get the current weather of a city');
const time = aFunction('get_time', 'Get the current time of a city');
const weatherChoice = { type: 'function', function: { name: 'get_weather' } };
const toolOutputs = { get_weather: 'sunny', get_time: 'noon' };

// The scripted model calls what the text names; a real one is made to.
const weatherQuestion = scripted ? 'call get_weather' : 'What is the weather in Paris right now?';
const weatherRun = scripted ? {} : { ...callRun, tool_choice: weatherChoice };

// Objects to work on

async function withAssistant(fields, use) {
  const assistant = await assistants.create({ model, name: 'Flow', instructions: 'Answer in one short sentence.', ...fields });
  try {
    await use(assistant);
  } finally {
    await assistants.delete(assistant.id);
  }
}

const aThread = (...texts) => threads.create({ messages: texts.map((content) => ({ role: 'user', content })) });

const outputsFor = (calls) =>
  calls.map((call) => ({ tool_call_id: call.id, output: toolOutputs[call.function.name] }));

async function all(pages) {
  const items = [];
  for await (const item of pages) items.push(item);
  return items;
}

const answersOf = (run) => all(messages.list(run.thread_id, { run_id: run.id, order: 'asc' }));
const stepsOf = (run) => all(runs.steps.list(run.id, { thread_id: run.thread_id, order: 'asc' }));

// Checks

function textOf(message) {
  assert.deepEqual(message.content.map((part) => part.type), ['text']);
  assert.deepEqual(message.content[0].text.annotations, []);
  return message.content[0].text.value;
}

function assertEnded(run, turns) {
  assert.ok((scripted ? ['completed'] : ['completed', 'incomplete']).includes(run.status), JSON.stringify(run));
  assert.equal(run.required_action, null);
  assert.equal(run.last_error, null);
  const { prompt_tokens, completion_tokens, total_tokens } = run.usage;
  assert.equal(total_tokens, prompt_tokens + completion_tokens);
  if (scripted && turns) assert.deepEqual([prompt_tokens, completion_tokens], [10 * turns, 5 * turns]);
}

function assertAnswer(message, run, text = scriptedText) {
  assert.equal(message.role, 'assistant');
  assert.equal(message.run_id, run.id);
  assert.equal(message.assistant_id, run.assistant_id);
  if (scripted) {
    assert.equal(message.status, 'completed');
    assert.equal(textOf(message), text);
  }
}

function callsOf(run) {
  assert.equal(run.status, 'requires_action', JSON.stringify(run));
  assert.equal(run.required_action.type, 'submit_tool_outputs');
  const calls = run.required_action.submit_tool_outputs.tool_calls;
  for (const call of calls) {
    assert.match(call.id, /^call_[A-Za-z0-9]+$/);
    const args = JSON.parse(call.function.arguments);
    if (scripted) assert.deepEqual(args, { city: 'Paris' });
  }
  return calls;
}

// A forced choice may be met more than once.
async function finish(run, rounds = 5) {
  for (; run.status === 'requires_action' && rounds > 0; rounds--) {
    run = await runs.submitToolOutputsAndPoll(
      run.id,
      { thread_id: run.thread_id, tool_outputs: outputsFor(callsOf(run)) },
      { pollIntervalMs: 50 },
    );
  }
  assertEnded(run);
  return run;
}

// The names of the events in their order, a row of deltas as one; where a real
// model hit the token limit, as if it had not.
function orderOf(events) {
  const limitHit = {
    'thread.message.incomplete': 'thread.message.completed',
    'thread.run.incomplete': 'thread.run.completed',
  };
  return events
    .map((event) => (scripted ? event.event : (limitHit[event.event] ?? event.event)))
    .filter((name, i, names) => name !== names[i - 1] || !name.endsWith('.delta'));
}

const runStart = ['thread.run.created', 'thread.run.queued', 'thread.run.in_progress'];
const runResumed = ['thread.run.step.completed', 'thread.run.queued', 'thread.run.in_progress'];
const textStep = [
  'thread.run.step.created',
  'thread.run.step.in_progress',
  'thread.message.created',
  'thread.message.in_progress',
  'thread.message.delta',
  'thread.message.completed',
  'thread.run.step.completed',
];
const callsStep = ['thread.run.step.created', 'thread.run.step.in_progress', 'thread.run.step.delta'];

// The objects that a stream ended with are those that GET answers.
async function assertStored(events) {
  const run = events.map((event) => event.data).findLast((data) => data.object === 'thread.run');
  const at = { thread_id: run.thread_id };
  assert.deepEqual(run, await runs.retrieve(run.id, at));
  for (const { event, data } of events) {
    if (event === 'thread.message.completed' || event === 'thread.message.incomplete')
      assert.deepEqual(data, await messages.retrieve(data.id, at));
    if (event === 'thread.run.step.completed')
      assert.deepEqual(data, await runs.steps.retrieve(data.id, { ...at, run_id: run.id }));
  }
}

// Listens to every event of a stream helper; returns what was fired, each name once.
const helperEvents = [
  'connect',
  'runStepCreated',
  'runStepDelta',
  'runStepDone',
  'messageCreated',
  'messageDelta',
  'messageDone',
  'textCreated',
  'textDelta',
  'textDone',
  'toolCallCreated',
  'toolCallDelta',
  'toolCallDone',
  'end',
];
function record(stream) {
  const recorded = { fired: [], events: [], text: '', calls: [] };
  for (const name of helperEvents) {
    stream.on(name, () => {
      if (!recorded.fired.includes(name)) recorded.fired.push(name);
    });
  }
  // The SDK goes on to change the objects of some events.
  stream.on('event', (event) => recorded.events.push(structuredClone(event)));
  stream.on('textDelta', (delta) => (recorded.text += delta.value ?? ''));
  stream.on('toolCallDone', (call) => recorded.calls.push(structuredClone(call)));
  return recorded;
}

const textCallbacks = [
  'connect',
  'runStepCreated',
  'messageCreated',
  'textCreated',
  'messageDelta',
  'textDelta',
  'textDone',
  'messageDone',
  'runStepDone',
  'end',
];

async function rejects(request, kind, message, { code = null, param = null } = {}) {
  await assert.rejects(request, (error) => {
    assert.ok(error instanceof kind, `${error.constructor.name} instead of ${kind.name}: ${error.message}`);
    assert.deepEqual(Object.keys(error.error).sort(), ['code', 'message', 'param', 'type']);
    assert.equal(error.type, 'invalid_request_error');
    assert.equal(error.code, code);
    assert.equal(error.param, param);
    assert.match(error.error.message, message);
    assert.match(error.requestID, /^req_[0-9a-f]{32}$/);
    return true;
  });
}

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// Flows

const flows = {};
const scriptedOnly = new Set(['parallelCalls', 'textBeforeCall', 'cancel', 'cancelStreamed', 'busyThread']);

flows.assistants = async () => {
  const created = await assistants.create({
    model,
    name: 'Meteorologist',
    tools: [{ type: 'code_interpreter' }, weather],
    metadata: { team: 'north' },
  });
  assert.match(created.id, /^asst_[A-Za-z0-9]+$/);
  assert.match(created._request_id, /^req_[0-9a-f]{32}$/);
  assert.deepEqual(await assistants.retrieve(created.id), created);
  const updated = await assistants.update(created.id, { name: null, metadata: {} });
  assert.equal(updated.name, null);
  assert.deepEqual(updated.metadata, {});
  assert.deepEqual(updated.tools, created.tools);
  assert.deepEqual({ ...(await assistants.delete(created.id)) }, { id: created.id, object: 'assistant.deleted', deleted: true });
  await rejects(() => assistants.retrieve(created.id), OpenAI.NotFoundError, /^No assistant found with id 'asst_/);
};

flows.pages = async () => {
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
  assert.deepEqual(page.data.map((message) => message.id), newestFirst.slice(3, 5));
  let pages = 0;
  for await (const one of (await messages.list(thread.id, { limit: 10 })).iterPages()) {
    pages += 1;
    assert.ok(one.data.length > 0);
  }
  assert.equal(pages, 3);
};

flows.threadsAndMessages = async () => {
  const thread = await threads.create({ messages: [{ role: 'user', content: 'One' }], metadata: { a: 'b' } });
  assert.deepEqual(await threads.retrieve(thread.id), thread);
  assert.deepEqual((await threads.update(thread.id, { metadata: { a: 'c' } })).metadata, { a: 'c' });
  const at = { thread_id: thread.id };
  const message = await messages.create(thread.id, { role: 'user', content: [{ type: 'text', text: 'Two' }] });
  assert.equal(textOf(message), 'Two');
  assert.deepEqual(await messages.retrieve(message.id, at), message);
  assert.deepEqual((await messages.update(message.id, { ...at, metadata: { k: 'v' } })).metadata, { k: 'v' });
  const gone = await messages.delete(message.id, at);
  assert.deepEqual({ ...gone }, { id: message.id, object: 'thread.message.deleted', deleted: true });
  assert.deepEqual((await all(messages.list(thread.id))).map(textOf), ['One']);
  assert.equal((await threads.delete(thread.id)).object, 'thread.deleted');
  await rejects(() => threads.retrieve(thread.id), OpenAI.NotFoundError, /^No thread found with id 'thread_/);
};

flows.poll = () =>
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
    assert.deepEqual(await runs.steps.retrieve(step.id, { thread_id: thread.id, run_id: run.id }), step);
    assert.deepEqual((await all(runs.list(thread.id))).map((one) => one.id), [run.id]);
    const updated = await runs.update(run.id, { thread_id: thread.id, metadata: { seen: 'yes' } });
    assert.deepEqual(updated.metadata, { seen: 'yes' });

    const both = await threads.createAndRunPoll({
      assistant_id: assistant.id,
      thread: { messages: [{ role: 'user', content: greeting }] },
      ...textRun,
    });
    assertEnded(both, 1);
  });

flows.streamHelper = () =>
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
  });

flows.streamRaw = () =>
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
  });

flows.createAndRunStream = () =>
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
  });

flows.functionCallPolled = () =>
  withAssistant({ tools: [weather] }, async (assistant) => {
    const thread = await aThread(weatherQuestion);
    let run = await runs.createAndPoll(thread.id, { assistant_id: assistant.id, ...weatherRun });
    assert.equal(callsOf(run)[0].function.name, 'get_weather');
    run = await finish(run);
    const [step] = await stepsOf(run);
    assert.equal(step.step_details.tool_calls[0].function.output, 'sunny');
    if (scripted) assertAnswer((await answersOf(run)).at(-1), run, 'Tool said: sunny');
  });

flows.functionCallStreamed = () =>
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
    assert.deepEqual(asked.calls.map((call) => call.id), calls.map((call) => call.id));
    assert.equal(asked.calls[0].function.arguments, calls[0].function.arguments);

    const second = runs.submitToolOutputsStream(run.id, { thread_id: thread.id, tool_outputs: outputsFor(calls) });
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
  });

flows.forcedCall = () =>
  withAssistant({ tools: [weather] }, async (assistant) => {
    for (const tool_choice of [weatherChoice, 'required']) {
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
  });

flows.parallelCalls = () =>
  withAssistant({ tools: [weather, time] }, async (assistant) => {
    const thread = await aThread('call get_weather and call get_time');
    const stream = runs.stream(thread.id, { assistant_id: assistant.id });
    const recorded = record(stream);
    const run = await stream.finalRun();
    const calls = callsOf(run);
    assert.deepEqual(calls.map((call) => call.function.name), ['get_weather', 'get_time']);
    assert.deepEqual(recorded.calls.map((call) => call.function.name), ['get_weather', 'get_time']);
    assert.deepEqual(recorded.calls.map((call) => call.function.arguments), calls.map((call) => call.function.arguments));
    await rejects(
      () => runs.submitToolOutputs(run.id, { thread_id: thread.id, tool_outputs: outputsFor(calls.slice(1)) }),
      OpenAI.BadRequestError,
      /^Expected tool outputs for call_ids \['call_\w+', 'call_\w+'\], got \['call_\w+'\]$/,
    );
    const ended = await runs.submitToolOutputsAndPoll(run.id, {
      thread_id: thread.id,
      tool_outputs: outputsFor(calls),
    });
    assertEnded(ended, 2);
    assertAnswer((await answersOf(ended))[0], ended, 'Tool said: sunny, noon');
  });

flows.textBeforeCall = () =>
  withAssistant({ tools: [weather] }, async (assistant) => {
    const thread = await aThread('say first, then call get_weather');
    const stream = runs.stream(thread.id, { assistant_id: assistant.id });
    const recorded = record(stream);
    const run = await stream.finalRun();
    assert.deepEqual(orderOf(recorded.events), [...runStart, ...textStep, ...callsStep, 'thread.run.requires_action']);
    assert.equal(recorded.text, 'Let me look.');
    const ended = await finish(run);
    assert.deepEqual((await answersOf(ended)).map(textOf), ['Let me look.', 'Tool said: sunny']);
  });

async function aSlowRun(assistant) {
  const thread = await aThread('Be slow.');
  let run = await runs.create(thread.id, { assistant_id: assistant.id });
  for (const deadline = Date.now() + 10_000; run.status === 'queued' && Date.now() < deadline; ) {
    await sleep(50);
    run = await runs.retrieve(run.id, { thread_id: thread.id });
  }
  assert.equal(run.status, 'in_progress');
  return run;
}

flows.cancel = () =>
  withAssistant({}, async (assistant) => {
    const run = await aSlowRun(assistant);
    const at = { thread_id: run.thread_id };
    assert.equal((await runs.cancel(run.id, at)).status, 'cancelling');
    const ended = await runs.poll(run.id, at, { pollIntervalMs: 50 });
    assert.equal(ended.status, 'cancelled');
    assert.ok(ended.cancelled_at);
    await rejects(() => runs.cancel(run.id, at), OpenAI.BadRequestError, /^Cannot cancel run with status 'cancelled'\.$/);
  });

flows.cancelStreamed = () =>
  withAssistant({}, async (assistant) => {
    const thread = await aThread('Be slow.');
    const stream = runs.stream(thread.id, { assistant_id: assistant.id });
    const recorded = record(stream);
    let asked;
    stream.once('textDelta', () => {
      asked = runs.cancel(stream.currentRun().id, { thread_id: thread.id });
    });
    const run = await stream.finalRun();
    assert.equal((await asked).status, 'cancelling');
    assert.equal(run.status, 'cancelled');
    assert.deepEqual(orderOf(recorded.events).filter((name) => !name.endsWith('.delta')), [
      ...runStart,
      ...textStep.slice(0, 4),
      'thread.run.cancelling',
      'thread.message.incomplete',
      'thread.run.step.cancelled',
      'thread.run.cancelled',
    ]);
    await assertStored(recorded.events);
  });

flows.busyThread = () =>
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
    await runs.cancel(id, { thread_id });
    assert.equal((await runs.poll(id, { thread_id }, { pollIntervalMs: 50 })).status, 'cancelled');
  });

flows.aborted = () =>
  withAssistant({}, async (assistant) => {
    const thread = await aThread(greeting);
    const stream = runs.stream(thread.id, { assistant_id: assistant.id, ...textRun });
    const created = new Promise((resolve) => stream.once('event', resolve));
    const failed = assert.rejects(stream.done(), OpenAI.APIUserAbortError);
    const run = (await created).data;
    stream.abort();
    await failed;
    // The run goes on when its client leaves.
    assertEnded(await runs.poll(run.id, { thread_id: thread.id }, { pollIntervalMs: 50 }), 1);
  });

flows.errors = async () => {
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
  await rejects(
    () => assistants.create({ model, metadata: { k: true } }),
    OpenAI.BadRequestError,
    /^Invalid type for 'metadata\.k': expected a string, but got a boolean instead\.$/,
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
};

flows.headers = async () => {
  const { data, response } = await assistants.list({ limit: 1 }).withResponse();
  assert.ok(data.data.length <= 1);
  assert.match(response.headers.get('x-request-id'), /^req_[0-9a-f]{32}$/);
  assert.match(response.headers.get('openai-processing-ms'), /^[0-9]+$/);
  assert.equal(response.headers.get('openai-version'), '2020-10-01');
};

// Runs the flows named on the command line, all of them by default.

const names = process.argv.slice(2);
const unknown = names.filter((name) => name !== '--list' && !(name in flows));
if (names[0] === '--list') {
  console.log(Object.keys(flows).join('\n'));
} else if (unknown.length > 0) {
  console.error(`no such flow: ${unknown.join(', ')}; --list names them`);
  process.exitCode = 1;
} else {
  for (const name of names.length > 0 ? names : Object.keys(flows)) {
    if (scriptedOnly.has(name) && !scripted) {
      console.log(`skip ${name}: needs the scripted model`);
      continue;
    }
    try {
      await flows[name]();
    } catch (error) {
      console.error(error);
      console.error(`FAILED ${name} (openai 6.49.0 for Node)`);
      process.exit(1);
    }
    console.log(`ok ${name}`);
  }
}
