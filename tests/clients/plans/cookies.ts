// The calls of the plan "Cookie logging": `node --test cookies.ts`, with GATEWAY, COOKIE (of a visitor), LONG (a session)
// and MESSAGES (that it has). A browser sends its cookies by itself; the page keeps what was said.
import assert from "node:assert/strict";
import { test } from "node:test";
import { call, cookies, json } from "./caller.ts";

const { LONG = "", MESSAGES = "0" } = process.env;

/** Ask as the plan's page does: with everything that its user has said. */
async function ask(userMessages: { role: string; content: string }[]) {
  const response = await call("/api/chat", { method: "POST", body: JSON.stringify({ userMessages }) });
  assert.equal(response.status, 200);
  assert.match(response.headers.get("content-type") ?? "", /^text\/plain/);
  return { text: await response.text(), kept: response.headers.getSetCookie().find((each) => each.startsWith("session_id=")) };
}

const say = (content: string) => ({ role: "user", content });
const stored = async () => {
  const { messages } = await json(`/api/chat/sessions/${cookies.get("session_id")}/messages?limit=all`);
  return messages.map((message: any) => [message.role, message.content]);
};

test("a browser's messages are kept in the session of its cookie", async () => {
  const first = await ask([say("[echo one]")]);
  assert.equal(first.text, "one");
  const attributes = (first.kept ?? "").toLowerCase().split("; ");
  for (const each of ["path=/", `max-age=${60 * 60 * 24 * 30}`, "httponly"]) assert.ok(attributes.includes(each), each);
  const session = cookies.get("session_id");
  assert.equal((await ask([say("[echo one]"), say("[echo two]")])).text, "two");
  assert.equal(cookies.get("session_id"), session);
  const said = [["user", "[echo one]"], ["assistant", "one"], ["user", "[echo two]"], ["assistant", "two"]];
  assert.deepEqual(await stored(), said);
});

test("of a conversation longer than any page only what is new is asked", async () => {
  cookies.set("session_id", LONG);
  const before = await stored();
  assert.equal(before.length, Number(MESSAGES));
  const userMessages = before.filter(([role]: string[]) => role === "user").map(([, content]: string[]) => say(content));
  assert.equal((await ask([...userMessages, say("[echo newest]")])).text, "newest");
  assert.deepEqual(await stored(), [...before, ["user", "[echo newest]"], ["assistant", "newest"]]);
});
