// The quick start of docs/history.md, as it stands there: `node --test guide.ts`, with GATEWAY, TOKEN, BOB (another
// token) and GUIDE, a list of its three pieces of code.
import assert from "node:assert/strict";
import { test } from "node:test";
import { call, json } from "./caller.ts";

const [page, sharing, visitor] = JSON.parse(process.env.GUIDE ?? "[]");
const AsyncFunction = (async () => {}).constructor as any;

/** Run code that finds these names, and return what it calls by those. */
const play = (code: string, known: object, told: string) =>
  new AsyncFunction(...Object.keys(known), `${code}\nreturn { ${told} };`)(...Object.values(known));

test("a page lists sessions, begins one, reads it and speaks in it", async () => {
  const known = { fetch: call, helper: "charter", projectId: "guide", message: "[echo heard]" };
  const { session, messages, response } = await play(page, known, "session, messages, response");
  assert.deepEqual(messages.map((each: any) => each.role), ["assistant"]);
  assert.match(await response.text(), /heard/);
  const { sessions } = await play(page, known, "sessions");
  assert.deepEqual(sessions.map((each: any) => [each.id, each.last_message]), [[session.id, "heard"]]);
});

test("who is named reads what is shared", async () => {
  const { session } = await json("/api/chat/sessions", { method: "POST", body: JSON.stringify({ title: "trip" }) });
  const said = { method: "POST", body: JSON.stringify({ role: "user", content: "heard" }) };
  await json(`/api/chat/sessions/${session.id}/messages`, said);
  const fetch = (path: string, init?: any) => (init ? call(path, init) : call(path, {}, process.env.BOB));
  const { title, read } = await play(sharing, { fetch, session }, "title, read");
  assert.deepEqual([title, read.map((each: any) => each.content)], ["trip", ["heard"]]);
});

test("a visitor comes back by what the client keeps", async () => {
  const fetch = (path: string, init: any) => call(path, init, init.headers?.Authorization.split(" ")[1] ?? "");
  const { visitor_id, token, sessions } = await play(visitor, { fetch }, "visitor_id, token, sessions");
  assert.deepEqual(sessions, []);
  assert.equal((await json("/api/me", {}, token)).user_id, visitor_id);
});
