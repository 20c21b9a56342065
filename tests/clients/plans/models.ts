// The calls of the plan "Model sessions": `node --test models.ts`, with GATEWAY, and of a visitor who has been here for
// long VISITOR and TOKEN, LONG (the session that was spoken in last), MESSAGES (that it has), SESSIONS (that there are).
import assert from "node:assert/strict";
import { test } from "node:test";
import { call, cookies, json } from "./caller.ts";

const { TOKEN, VISITOR, LONG, MESSAGES, SESSIONS } = process.env;
const localStorage = new Map<string, string>();
const begin = (model: string, token?: string) =>
  json("/api/sessions", { method: "POST", body: JSON.stringify({ model }) }, token);

test("a first visit, sessions with two models, a reload, and switching between them", async () => {
  const { visitor_id, token } = await (await call("/api/auth/visitor", { method: "POST" }, "")).json();
  cookies.clear(); // which this page knows nothing of
  localStorage.set("sessionId", visitor_id);
  localStorage.set("token", token);

  const small = await begin("sandbox-small", localStorage.get("token"));
  const large = await begin("sandbox-large", localStorage.get("token"));
  for (const [session, text] of [[small, "little"], [large, "much"]]) {
    const messages = [{ role: "user", content: `[echo ${text}]` }];
    const body = { chatSessionId: session.id, sessionId: visitor_id, model: session.model, messages, stream: false };
    const answer = await json("/api/chat", { method: "POST", body: JSON.stringify(body) }, localStorage.get("token"));
    assert.deepEqual([answer.session_id, answer.message.content], [session.id, text]);
  }

  const list = `/api/sessions?sessionId=${localStorage.get("sessionId")}`;
  const { sessions } = await json(list, {}, localStorage.get("token"));
  assert.deepEqual(
    sessions.map((each: any) => [each.id, each.userId, each.model, each.messageCount, each.lastMessage]),
    [[large.id, visitor_id, "sandbox-large", 2, "much"], [small.id, visitor_id, "sandbox-small", 2, "little"]],
  );
  assert.ok(sessions.every((each: any) => Date.parse(each.createdAt) <= Date.parse(each.updatedAt)));

  const { messages } = await json(`/api/sessions/${small.id}/messages`, {}, localStorage.get("token"));
  assert.deepEqual(
    messages.map((each: any) => [each.chatSessionId, each.role, each.content, each.model]),
    [[small.id, "USER", "[echo little]", "sandbox-small"], [small.id, "ASSISTANT", "little", "sandbox-small"]],
  );

  assert.equal((await call(list)).status, 403, "another visitor's list");
  assert.equal((await call(`/api/sessions/${small.id}/messages`)).status, 404, "another visitor's messages");
  assert.equal((await call(list, {}, "")).status, 403, "the id without its token");
});

test("a chat that names its session as sessionId is stored there", async () => {
  const { id } = await begin("sandbox-small");
  const body = JSON.stringify({ sessionId: id, message: "[echo here]", stream: false });
  assert.equal((await json("/api/chat", { method: "POST", body })).session_id, id);
  await call(`/api/chat/sessions/${id}`, { method: "DELETE" });
});

test("lists longer than any page are whole, up to 1,000 sessions and 5,000 messages", async () => {
  const all = await json(`/api/sessions?sessionId=${VISITOR}`);
  assert.deepEqual([all.sessions.length, all.has_more], [1000, true]);
  assert.equal(all.sessions[0].id, LONG);
  const rest = await json(`/api/sessions?cursor=${all.next_cursor}`);
  const ids = [...all.sessions, ...rest.sessions].map((session: any) => session.id);
  assert.equal(new Set(ids).size, Number(SESSIONS));

  const newest = await json(`/api/sessions/${LONG}/messages`);
  assert.deepEqual([newest.messages.length, newest.has_more], [5000, true]);
  const older = await json(`/api/sessions/${LONG}/messages?cursor=${newest.next_cursor}`);
  const said = [...older.messages, ...newest.messages].map((message: any) => message.content);
  assert.deepEqual(said, Array.from({ length: Number(MESSAGES) }, (_, at) => `text ${at + 1}`));
});
