// A user whose gateway is killed: `node killed.js`, as scenarios.js. It prints "begun" when the answer has, and goes on
// when standard input ends, once there is a gateway again.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { asked, firstWords, openTab, say, shown, spoken, textOf } from "./browser.js";

const id = randomUUID();
const chat = await openTab(id);
const sending = chat.sendMessage(say(`[chunks 1000] [slow 50] ${id}`));
await firstWords(chat, 50); // longer than it takes until its text is kept
console.log("begun");
await new Promise((ends) => process.stdin.resume().on("end", ends));
await sending;
assert.equal(chat.status, "error", "the connection was cut");

await chat.resumeStream();
assert.equal(chat.status, "error");
assert.match(chat.error.message, /gone/);
const [question, answer] = await shown(id);
assert.equal(answer.status, "interrupted");
assert.ok(textOf(answer).length > 0);
assert.equal(chat.messages.length, 2);
assert.equal(chat.lastMessage.id, answer.id);
assert.equal(textOf(chat.lastMessage), textOf(answer), "what is kept is shown, and nothing twice");

await chat.sendMessage(say(`[echo next ${id}]`));
assert.equal(chat.status, "ready");
assert.equal(textOf(chat.lastMessage), `next ${id}`);
assert.deepEqual((await asked(id)).at(-1), spoken(await shown(id)).slice(0, -1));
