// What the Node flows share: the SDK, its calls under one signature, the registry of flows, and the checks.
//
// A flow is an asynchronous function that drives the server through the official SDK and asserts what it sees. Flows
// run in the order in which they are defined, each on objects of its own, so that several programs may use one server.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

// The SDK is in a throw-away environment, where an import would not look.
export const environment = process.argv[2];
const versions = { node: '6.49.0', 'node-v1': '4.33.1', 'node-newest': '7.57.0' };
const repository = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');
const target = resolve(process.env.CARGO_TARGET_DIR || join(repository, 'target'));
const require = createRequire(join(target, 'sdk', environment, 'package.json'));
export const OpenAI = require('openai');
const { VERSION } = require('openai/version');
assert.equal(VERSION, versions[environment]);

// The generation that sends `OpenAI-Beta: assistants=v1`.
export const isV1 = VERSION.startsWith('4.');

const url = process.env.LOCUM_TEST_URL || 'http://127.0.0.1:8080/v1';
const key = process.env.LOCUM_TEST_KEY || 'unset';
export const model = process.env.LOCUM_TEST_MODEL || 'gpt-4o';
export const scripted = process.env.LOCUM_TEST_SCRIPTED === '1';

// Retries are off: a request that the SDK would repeat is a finding.
export const settings = { baseURL: url, apiKey: key, maxRetries: 0, timeout: 120_000 };
export const client = new OpenAI(settings);
export const { files } = client;
export const { assistants, threads } = client.beta;
export const { messages, runs } = threads;

// The calls whose arguments differ: 4.33.1 takes the ids in the order of the path, later SDKs the last one first and
// the others with the body.

const deletes = (resource) => (id) => (isV1 ? resource.del(id) : resource.delete(id));
export const deleteAssistant = deletes(assistants);
export const deleteThread = deletes(threads);
export const deleteFile = deletes(files);

const reads = (resource, method) => (threadId, id, options) =>
  isV1 ? resource[method](threadId, id, options) : resource[method](id, { thread_id: threadId }, options);
const writes = (resource, method) => (threadId, id, body, options) =>
  isV1
    ? resource[method](threadId, id, body, options)
    : resource[method](id, { thread_id: threadId, ...body }, options);

export const retrieveMessage = reads(messages, 'retrieve');
export const updateMessage = writes(messages, 'update');
export const retrieveRun = reads(runs, 'retrieve');
export const updateRun = writes(runs, 'update');
export const cancelRun = reads(runs, 'cancel');
export const pollRun = reads(runs, 'poll');
export const submitToolOutputs = writes(runs, 'submitToolOutputs');
export const submitToolOutputsAndPoll = writes(runs, 'submitToolOutputsAndPoll');
export const submitToolOutputsStream = writes(runs, 'submitToolOutputsStream');
export const listSteps = writes(runs.steps, 'list');
export const retrieveStep = (threadId, runId, id) =>
  isV1 ? runs.steps.retrieve(threadId, runId, id) : runs.steps.retrieve(id, { thread_id: threadId, run_id: runId });

// A small real model is slow and may ramble, so its turns are short.
export const textRun = scripted ? {} : { temperature: 0, max_completion_tokens: 32 };
export const callRun = scripted ? {} : { temperature: 0, max_completion_tokens: 200 };

export const greeting = 'Say hello.';
export const scriptedText = 'Hello from the scripted model.';
export const noSuch = '0'.repeat(24);

const aFunction = (name, description) => ({
  type: 'function',
  function: {
    name,
    description,
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
});
export const weather = aFunction('get_weather', 'Get the current weather of a city');
export const time = aFunction('get_time', 'Get the current time of a city');
export const weatherChoice = { type: 'function', function: { name: 'get_weather' } };
const toolOutputs = { get_weather: 'sunny', get_time: 'noon' };

// The scripted model calls what the text names; a real one is made to.
export const weatherQuestion = scripted ? 'call get_weather' : 'What is the weather in Paris right now?';
export const weatherRun = scripted ? {} : { ...callRun, tool_choice: weatherChoice };

// Objects to work on

export async function withAssistant(fields, use) {
  const assistant = await assistants.create({
    model,
    name: 'Flow',
    instructions: 'Answer in one short sentence.',
    ...fields,
  });
  try {
    await use(assistant);
  } finally {
    await deleteAssistant(assistant.id);
  }
}

export const aThread = (...texts) => threads.create({ messages: texts.map((content) => ({ role: 'user', content })) });

export async function aSlowRun(assistant) {
  const thread = await aThread('Be slow.');
  let run = await runs.create(thread.id, { assistant_id: assistant.id });
  for (const deadline = Date.now() + 10_000; run.status === 'queued' && Date.now() < deadline; ) {
    await sleep(50);
    run = await retrieveRun(thread.id, run.id);
  }
  assert.equal(run.status, 'in_progress');
  return run;
}

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

export const outputsFor = (calls) =>
  calls.map((call) => ({ tool_call_id: call.id, output: toolOutputs[call.function.name] }));

export async function all(pages) {
  const items = [];
  for await (const item of pages) items.push(item);
  return items;
}

export const answersOf = (run) => all(messages.list(run.thread_id, { run_id: run.id, order: 'asc' }));
export const stepsOf = (run) => all(listSteps(run.thread_id, run.id, { order: 'asc' }));

// Checks

export function textOf(message) {
  assert.deepEqual(
    message.content.map((part) => part.type),
    ['text'],
  );
  assert.deepEqual(message.content[0].text.annotations, []);
  return message.content[0].text.value;
}

// A run that came to a good end. A real model may hit the token limit, which a v1 poller is not told.
export function assertEnded(run, turns) {
  const good = scripted || isV1 ? ['completed'] : ['completed', 'incomplete'];
  assert.ok(good.includes(run.status), JSON.stringify(run));
  assert.equal(run.required_action, null);
  assert.equal(run.last_error, null);
  const { prompt_tokens, completion_tokens, total_tokens } = run.usage;
  assert.equal(total_tokens, prompt_tokens + completion_tokens);
  if (scripted && turns) assert.deepEqual([prompt_tokens, completion_tokens], [10 * turns, 5 * turns]);
}

export function assertAnswer(message, run, text = scriptedText) {
  assert.equal(message.role, 'assistant');
  assert.equal(message.run_id, run.id);
  assert.equal(message.assistant_id, run.assistant_id);
  if (scripted) {
    assert.equal(message.status, 'completed');
    assert.equal(textOf(message), text);
  }
}

export function callsOf(run) {
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
export async function finish(run, rounds = 5) {
  for (; run.status === 'requires_action' && rounds > 0; rounds--) {
    run = await submitToolOutputsAndPoll(
      run.thread_id,
      run.id,
      { tool_outputs: outputsFor(callsOf(run)) },
      { pollIntervalMs: 50 },
    );
  }
  assertEnded(run);
  return run;
}

export const deletion = (id, object) => ({ id, object, deleted: true });

export async function rejects(request, kind, message, { code = null, param = null } = {}) {
  await assert.rejects(request, (error) => {
    assert.ok(error instanceof kind, `${error.constructor.name} instead of ${kind.name}: ${error.message}`);
    assert.deepEqual(Object.keys(error.error).sort(), ['code', 'message', 'param', 'type']);
    assert.equal(error.type, 'invalid_request_error');
    assert.equal(error.code, code);
    assert.equal(error.param, param);
    assert.match(error.error.message, message);
    assert.match(isV1 ? error.headers['x-request-id'] : error.requestID, /^req_[0-9a-f]{32}$/);
    return true;
  });
}

// Event streams

// The names of the events in their order, a row of deltas as one; where a real
// model hit the token limit, as if it had not.
export function orderOf(events) {
  const limitHit = {
    'thread.message.incomplete': 'thread.message.completed',
    'thread.run.incomplete': 'thread.run.completed',
  };
  return events
    .map((event) => (scripted ? event.event : (limitHit[event.event] ?? event.event)))
    .filter((name, i, names) => name !== names[i - 1] || !name.endsWith('.delta'));
}

export const runStart = ['thread.run.created', 'thread.run.queued', 'thread.run.in_progress'];
export const runResumed = ['thread.run.step.completed', 'thread.run.queued', 'thread.run.in_progress'];
export const textStep = [
  'thread.run.step.created',
  'thread.run.step.in_progress',
  'thread.message.created',
  'thread.message.in_progress',
  'thread.message.delta',
  'thread.message.completed',
  'thread.run.step.completed',
];
export const callsStep = ['thread.run.step.created', 'thread.run.step.in_progress', 'thread.run.step.delta'];

// The objects that a stream ended with are those that GET answers.
export async function assertStored(events) {
  const run = events.map((event) => event.data).findLast((data) => data.object === 'thread.run');
  assert.deepEqual(run, await retrieveRun(run.thread_id, run.id));
  for (const { event, data } of events) {
    if (event === 'thread.message.completed' || event === 'thread.message.incomplete')
      assert.deepEqual(data, await retrieveMessage(run.thread_id, data.id));
    if (event === 'thread.run.step.completed')
      assert.deepEqual(data, await retrieveStep(run.thread_id, run.id, data.id));
  }
}

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

// Listens to every event of a stream helper; returns what was fired, each name once.
export function record(stream) {
  const recorded = { fired: [], events: [], text: '', calls: [], arguments: [] };
  for (const name of helperEvents) {
    stream.on(name, () => {
      if (!recorded.fired.includes(name)) recorded.fired.push(name);
    });
  }
  // The SDK goes on to change the objects of some events.
  stream.on('event', (event) => recorded.events.push(structuredClone(event)));
  stream.on('textDelta', (delta) => (recorded.text += delta.value ?? ''));
  stream.on('toolCallDone', (call) => recorded.calls.push(structuredClone(call)));
  stream.on('toolCallDelta', ({ index, function: fragment }) => {
    recorded.arguments[index] = (recorded.arguments[index] ?? '') + fragment.arguments;
  });
  return recorded;
}

// A stream helper announced these calls, and its deltas make up their arguments. 4.33.1 keeps the first delta of the
// first call alone, so it announces no other and nobody's arguments.
export function assertRecorded(recorded, calls) {
  assert.deepEqual(
    recorded.arguments,
    calls.map((call) => call.function.arguments),
  );
  const seen = (call) => [call.id, call.function.name, isV1 ? '' : call.function.arguments];
  assert.deepEqual(recorded.calls.map(seen), (isV1 ? calls.slice(0, 1) : calls).map(seen));
}

export const textCallbacks = [
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

// Flows

const flows = new Map();

// Registers a flow. `scriptedOnly` flows need the scripted model's answers.
export function flow(name, run, { scriptedOnly = false } = {}) {
  flows.set(name, { run, scriptedOnly });
}

// Runs the flows named on the command line, all of them by default.
export async function main(names) {
  const unknown = names.filter((name) => name !== '--list' && !flows.has(name));
  if (names[0] === '--list') {
    console.log([...flows.keys()].join('\n'));
    return;
  }
  if (unknown.length > 0) {
    console.error(`no such flow: ${unknown.join(', ')}; --list names them`);
    process.exitCode = 1;
    return;
  }
  for (const name of names.length > 0 ? names : flows.keys()) {
    const { run, scriptedOnly } = flows.get(name);
    if (scriptedOnly && !scripted) {
      console.log(`skip ${name}: needs the scripted model`);
      continue;
    }
    try {
      await run();
    } catch (error) {
      console.error(error);
      console.error(`FAILED ${name} (openai ${VERSION} for Node)`);
      process.exit(1);
    }
    console.log(`ok ${name}`);
  }
}
