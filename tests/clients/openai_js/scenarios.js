// What OpenAI's client in JavaScript and the AI SDK do, against a gateway: GATEWAY and TOKEN say which. Neither knows of it.
import { createOpenAI } from "@ai-sdk/openai";
import { Output, generateText, isStepCount, jsonSchema, streamText, tool } from "ai";
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import OpenAI from "openai";

const { GATEWAY, TOKEN } = process.env;
const model = "sandbox-small";
const client = new OpenAI({ baseURL: `${GATEWAY}/v1`, apiKey: TOKEN, maxRetries: 0 });
const asks = (text) => [{ role: "user", content: text }];
const tools = [{ type: "function", function: { name: "get_weather", parameters: { type: "object", properties: {} } } }];

const messages = async (session) => {
  const answer = await fetch(`${GATEWAY}/api/chat/sessions/${session}/messages`, {
    headers: { Authorization: `Bearer ${TOKEN}` },
  });
  return (await answer.json()).messages;
};

test("an answer comes whole, with its session", async () => {
  const { data, response } = await client.chat.completions.create({ model, messages: asks("[echo hello]") }).withResponse();
  assert.equal(data.choices[0].message.content, "hello");
  assert.equal((await messages(response.headers.get("x-session-id"))).length, 2);
});

test("a stream is put together", async () => {
  const stream = client.chat.completions.stream({ model, messages: asks("[echo one two]") });
  const whole = await stream.finalChatCompletion();
  assert.equal(whole.choices[0].message.content, "one two");
});

test("five turns with a growing history are one session", async () => {
  const history = [];
  const sessions = new Set();
  for (let number = 0; number < 5; number += 1) {
    history.push({ role: "user", content: `[echo js ${number}]` });
    const { data, response } = await client.chat.completions.create({ model, messages: history }).withResponse();
    history.push(data.choices[0].message);
    sessions.add(response.headers.get("x-session-id"));
  }
  assert.equal(sessions.size, 1);
  assert.equal((await messages([...sessions][0])).length, 10);
});

test("its own tool is run by it", async () => {
  const runner = client.chat.completions.runTools({
    model,
    messages: asks('[tool get_weather {"city": "Nice"}]'),
    tools: [{ ...tools[0], function: { ...tools[0].function, parse: JSON.parse, function: ({ city }) => `sunny in ${city}` } }],
  });
  assert.ok(await runner.finalContent());
  assert.equal(runner.messages[2].content, "sunny in Nice");
});

test("who aborts a stream leaves an answer that goes on", async () => {
  const { data, response } = await client.chat.completions
    .create({ model, messages: asks("[echo a b c] [chunks 3] [slow 100]"), stream: true })
    .withResponse();
  for await (const _ of data) break;
  const session = response.headers.get("x-session-id");
  for (let tries = 0; tries < 200 && (await messages(session)).length < 2; tries += 1) await sleep(50);
  assert.equal((await messages(session)).at(-1).content, "a b c");
});

test("errors are told apart", async () => {
  await assert.rejects(client.models.retrieve("unknown"), OpenAI.NotFoundError);
  await assert.rejects(client.chat.completions.create({ model, messages: asks("hi"), n: 5 }), OpenAI.BadRequestError);
  const stranger = new OpenAI({ baseURL: `${GATEWAY}/v1`, apiKey: "sk-wrong", maxRetries: 0 });
  await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
});

test("retries are one turn", async () => {
  const error = await client.chat.completions
    .create({ model, messages: asks("[error 503]") }, { maxRetries: 1 })
    .catch((caught) => caught);
  assert.ok(error instanceof OpenAI.InternalServerError);
  const said = await messages(error.headers.get("x-session-id"));
  assert.deepEqual(said.map((message) => message.role), ["user", "assistant", "assistant"]); // of each try an answer
});

test("a response goes on from another, streamed, until it is deleted", async () => {
  const first = await client.responses.create({ model, input: "[echo one]" });
  const stream = client.responses.stream({ model, input: "[recall]", previous_response_id: first.id });
  const second = await stream.finalResponse();
  assert.equal(first.output_text, "one");
  assert.deepEqual(JSON.parse(second.output_text), ["[echo one]", "[recall]"]);
  assert.equal((await client.responses.retrieve(second.id)).output_text, second.output_text);
  await client.responses.delete(second.id);
  await assert.rejects(client.responses.retrieve(second.id), OpenAI.NotFoundError);
});

test("a response's function is run by its client", async () => {
  const tool = { type: "function", ...tools[0].function, strict: false };
  const first = await client.responses.create({ model, tools: [tool], input: '[tool get_weather {"city": "Nice"}]' });
  const call = first.output.find((item) => item.type === "function_call");
  assert.deepEqual(JSON.parse(call.arguments), { city: "Nice" });
  const result = { type: "function_call_output", call_id: call.call_id, output: "sunny" };
  const asked = { model, tools: [tool], input: [result], previous_response_id: first.id };
  const { data, response } = await client.responses.create(asked).withResponse();
  assert.ok(data.output_text);
  const said = await messages(response.headers.get("x-session-id"));
  assert.deepEqual(said.map((message) => message.role), ["user", "assistant", "tool", "assistant"]);
});

const sdk = createOpenAI({ baseURL: `${GATEWAY}/v1`, apiKey: TOKEN });
const ways = { responses: sdk(model), "chat completions": sdk.chat(model) };
const city = jsonSchema({ type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false });
const weather = { get_weather: tool({ description: "Tell the weather.", inputSchema: city, execute: ({ city }) => `sunny in ${city}` }) };
const asked = (way) => ({ model: ways[way], tools: weather, stopWhen: isStepCount(3), maxRetries: 0, prompt: '[tool get_weather {"city": "Nice"}]' });

const said = async (steps) => {
  const sessions = new Set(steps.map((step) => step.response.headers["x-session-id"]));
  assert.equal(sessions.size, 1);
  return (await messages([...sessions][0])).map((message) => [message.role, message.content]);
};

for (const way of Object.keys(ways)) {
  test(`the AI SDK runs its tool by ${way}, and its steps are one session`, async () => {
    const whole = await generateText(asked(way));
    assert.ok(whole.text);
    assert.deepEqual(whole.steps.map((step) => step.finishReason), ["tool-calls", "stop"]);
    assert.ok(whole.totalUsage.totalTokens > 0);
    const streamed = streamText({ ...asked(way), onError: () => {} });
    const kinds = new Set();
    for await (const part of streamed.fullStream) {
      assert.notEqual(part.type, "error", JSON.stringify(part.error));
      kinds.add(part.type);
    }
    for (const kind of ["tool-call", "tool-result", "text-delta", "finish"]) assert.ok(kinds.has(kind), kind);
    assert.equal(await streamed.text, whole.text);
    for (const steps of [whole.steps, await streamed.steps]) {
      const told = await said(steps);
      assert.deepEqual(told.map(([role]) => role), ["user", "assistant", "tool", "assistant"]);
      assert.equal(told[2][1], "sunny in Nice");
    }
  });

  test(`the AI SDK has an object by ${way}`, async () => {
    const { output } = await generateText({ model: ways[way], prompt: '[echo {"city": "Nice"}]', output: Output.object({ schema: city }) });
    assert.deepEqual(output, { city: "Nice" });
  });
}

test("a response that is streamed is stopped by its id, and what it was asked is listed", async () => {
  const stream = await client.responses.create({ model, input: "[echo a b c] [chunks 3] [slow 20000]", stream: true });
  let last;
  for await (const event of stream) {
    if (event.type === "response.created") assert.equal((await client.responses.cancel(event.response.id)).status, "cancelled");
    last = event;
  }
  assert.equal(last.type, "response.completed");
  assert.equal((await client.responses.retrieve(last.response.id)).status, "cancelled");
  const items = [];
  for await (const item of client.responses.inputItems.list(last.response.id)) items.push(item.content[0].text);
  assert.deepEqual(items, ["[echo a b c] [chunks 3] [slow 20000]"]);
});
