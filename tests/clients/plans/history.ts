// What the plan "Helpers and history" promises: `node --test history.ts`, with GATEWAY, TOKEN or COOKIE, OTHER (another
// user's token), LONG (a session's id) and MESSAGES (how many it has), and CHECKLIST (a list of what is to be checked).
import assert from "node:assert/strict";
import { test } from "node:test";
import { call, json } from "./caller.ts";
import { handleNewChat, loadSession, reload, state, submit, switchTo, texts } from "./page.ts";

const { OTHER, LONG = "", MESSAGES = "0", CHECKLIST = "[]" } = process.env;
const OPENING = (await json("/api/helpers")).helpers.find((each: any) => each.id === "charter").opening_message.trim();
let first: string, second: string;

/** One step for each line of the checklist of docs/history.md, in its order; each goes on from the one before. */
const STEPS: Record<string, () => Promise<void>> = {
  "Create a session": async () => {
    await handleNewChat();
    first = state.session.id;
    const { helper, project_id, title, thread_id } = state.session;
    assert.deepEqual([helper, project_id, title, thread_id], ["charter", "p1", null, first]);
    await switchTo(first);
    assert.deepEqual(texts(), [["assistant", OPENING]]);
  },
  "Send messages": async () => {
    assert.equal(await submit("[echo one]"), "one");
    assert.equal(await submit("[echo two]"), "two");
  },
  "Refresh the page: everything is still there": async () => {
    await reload();
    const shown = state.sessions.find((session: any) => session.id === first);
    assert.deepEqual([shown.title, shown.last_message, shown.message_count], ["[echo one]", "two", 5]);
    await switchTo(first);
    const said = [["user", "[echo one]"], ["assistant", "one"], ["user", "[echo two]"], ["assistant", "two"]];
    assert.deepEqual(texts(), [["assistant", OPENING], ...said]);
  },
  "Create a new session": async () => {
    await handleNewChat();
    second = state.session.id;
    assert.notEqual(second, first);
    assert.equal(await submit("[echo other]"), "other");
  },
  "Switch between sessions": async () => {
    await switchTo(first);
    assert.equal(texts().at(-1)[1], "two");
    assert.equal(await submit("[echo three]"), "three");
    await reload();
    assert.deepEqual(state.sessions.map((session: any) => session.id).slice(0, 2), [first, second]);
  },
  "Messages load correctly, of a long conversation too": async () => {
    await loadSession({ id: LONG });
    const count = Number(MESSAGES);
    const all = Array.from({ length: count }, (_, at) => [at % 2 ? "assistant" : "user", `text ${at + 1}`]);
    assert.deepEqual(texts(), all.slice(-200));
    const { messages, has_more } = await json(`/api/chat/sessions/${LONG}/messages?limit=all`);
    assert.deepEqual(messages.map((message: any) => [message.role, message.content]), all);
    assert.equal(has_more, false);
  },
  "Each helper has its own sessions": async () => {
    await json("/api/chat/sessions", { method: "POST", body: JSON.stringify({ projectId: "p1", helper: "other" }) });
    await reload("other");
    assert.deepEqual(state.sessions.map((session: any) => session.helper), ["other"]);
    await reload("charter", "p2");
    assert.deepEqual(state.sessions, []);
  },
  "Each user has their own sessions": async () => {
    const theirs = await json("/api/chat/sessions?helper=charter&projectId=p1", {}, OTHER);
    assert.deepEqual(theirs.sessions, []);
    for (const path of ["", "/messages", "/export"]) {
      assert.equal((await call(`/api/chat/sessions/${first}${path}`, {}, OTHER)).status, 404);
    }
  },
};

test("what is to be checked is what is walked", () => {
  assert.deepEqual(Object.keys(STEPS), JSON.parse(CHECKLIST));
});
for (const [name, step] of Object.entries(STEPS)) test(name, step);
