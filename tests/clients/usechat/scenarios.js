// What people do in a chat by useChat: `node --test scenarios.js`, with GATEWAY, TOKEN, MODEL and SDK (newest, oldest).
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, test } from "node:test";
import { asked, firstWords, isOldest, mount, named, openTab, openWay } from "./browser.js";
import { say, sendAutomaticallyWhen, shown, spoken, stop, textOf, until } from "./browser.js";

const LONG = "[chunks 1000] [slow 50]"; // until it is stopped

/** A scenario in a session of its own, whose id is in every text, so that the model's calls can be told apart. */
function scenario(name, act, options = {}) {
  test(name, options, (context) => act(randomUUID(), context));
}

const APPROVING = { skip: isOldest && "the AI SDK 5 has no words for approvals" };
const CHARTER = { body: { helper: "charter" }, sendAutomaticallyWhen };
const day = new Date(Date.now() + 30 * 24 * 3600 * 1000).toISOString().slice(0, 10);
const FLIGHT = JSON.stringify({ segments: [{ from: "KTEB", to: "KPBI", date: day }], pax: 4 });
const ORDER = `[tool create_trip ${FLIGHT}] [echo So be it.]`;
const CALLS = '[tool trip_status {}] [tool fly {}] [tool list_quotes "{broken"]';
const RESUMING_TWICE = { skip: isOldest && "the AI SDK 5 resumes after what it has, so a beginning is shown twice" };

const called = ({ parts }) =>
  parts.filter((part) => part.toolCallId).map(({ type, state, errorText }) => [type, state, errorText]);

async function isShownAs(chat) {
  const messages = await shown(chat.id);
  assert.deepEqual(named(messages), named(chat.messages));
  assert.deepEqual(spoken(messages), spoken(chat.messages));
}

function isFine(chat) {
  assert.deepEqual(chat.errors, []);
  assert.equal(chat.status, "ready");
}

describe(`useChat of the ${isOldest ? "oldest" : "newest"} SDK`, { concurrency: true }, () => {
  scenario("a message is answered, under the ids that both sides know", async (id) => {
    const chat = await openTab(id);
    await chat.sendMessage(say(`[echo one ${id}]`));
    await chat.sendMessage(say(`[echo two ${id}]`));
    isFine(chat);
    assert.deepEqual(spoken(chat.messages), [
      ["user", `[echo one ${id}]`],
      ["assistant", `one ${id}`],
      ["user", `[echo two ${id}]`],
      ["assistant", `two ${id}`],
    ]);
    await isShownAs(chat);
    assert.equal(chat.lastMessage.metadata.session_id, id);
    assert.equal(chat.lastMessage.metadata.finish_reason, "stop");
  });

  scenario("an answer is given again, beside the first, and the chat goes on from the new one", async (id) => {
    const chat = await openTab(id);
    await chat.sendMessage(say(`[echo one ${id}]`));
    const [question, first] = chat.messages;
    await chat.regenerate();
    isFine(chat);
    assert.equal(chat.messages.length, 2);
    assert.notEqual(chat.lastMessage.id, first.id);
    await chat.sendMessage(say(`[echo two ${id}]`));
    const parents = (await shown(id)).map((message) => [message.id, message.parent_id]);
    assert.deepEqual(parents, [
      [question.id, null],
      [first.id, question.id],
      [chat.messages[1].id, question.id],
      [chat.messages[2].id, chat.messages[1].id],
      [chat.messages[3].id, chat.messages[2].id],
    ]);
    assert.deepEqual((await asked(id)).at(-1), spoken(chat.messages).slice(0, -1));
  });

  scenario("an answer of before is given again, and what came after it is on another branch", async (id) => {
    const chat = await openTab(id);
    await chat.sendMessage(say(`[echo one ${id}]`));
    await chat.sendMessage(say(`[echo two ${id}]`));
    await chat.regenerate({ messageId: chat.messages[1].id });
    assert.deepEqual((await asked(id)).at(-1), [["user", `[echo one ${id}]`]]);
    await chat.sendMessage(say(`[echo three ${id}]`));
    isFine(chat);
    assert.equal(chat.messages.length, 4);
    assert.deepEqual((await asked(id)).at(-1), spoken(chat.messages).slice(0, -1));
    assert.equal((await shown(id)).length, 7, "nothing of the other branch is lost");
  });

  scenario("a question is put otherwise, again and again, each beside the first", async (id) => {
    const chat = await openTab(id);
    await chat.sendMessage(say(`[echo one ${id}]`));
    await chat.sendMessage(say(`[echo two ${id}]`));
    const question = chat.messages[2];
    for (const words of ["two and a half", "three"]) {
      await chat.sendMessage({ ...say(`[echo ${words} ${id}]`), messageId: question.id });
      isFine(chat);
      assert.equal(textOf(chat.lastMessage), `${words} ${id}`);
      assert.deepEqual((await asked(id)).at(-1), spoken(chat.messages).slice(0, -1));
    }
    await chat.regenerate();
    assert.equal(textOf(chat.lastMessage), `three ${id}`);
    await chat.sendMessage(say(`[echo four ${id}]`));
    isFine(chat);
    assert.deepEqual((await asked(id)).at(-1), spoken(chat.messages).slice(0, -1));
    const messages = await shown(id);
    const wordings = messages.filter((message) => message.parent_id === chat.messages[1].id);
    assert.deepEqual(wordings.map(textOf), ["two", "two and a half", "three"].map((words) => `[echo ${words} ${id}]`));
    assert.equal(new Set(messages.map((message) => message.id)).size, 11);
  });

  scenario("a stopped answer keeps its text, and the next message is answered at once", async (id) => {
    const chat = await openTab(id);
    const sending = chat.sendMessage(say(`${LONG} ${id}`));
    const seen = await firstWords(chat);
    await chat.stop();
    await chat.sendMessage(say(`[echo next ${id}]`));
    await sending;
    isFine(chat);
    assert.equal(textOf(chat.lastMessage), `next ${id}`);
    const messages = await shown(id);
    assert.deepEqual(named(messages), named(chat.messages));
    assert.equal(messages[1].status, "stopped");
    assert.ok(textOf(messages[1]).startsWith(seen));
    assert.deepEqual((await asked(id)).at(-1), spoken(messages).slice(0, -1));
  });

  scenario("calls of tools are shown as they are kept, also to a tab that comes in the middle", async (id) => {
    const chat = await openTab(id, CHARTER);
    const sending = chat.sendMessage(say(`${CALLS} [chunks 20] [slow 50] ${id}`));
    await firstWords(chat);
    const late = await openTab(id, CHARTER);
    await Promise.all([sending, late.resumeStream()]);
    const kept = called((await shown(id)).at(-1));
    assert.deepEqual(kept.map(([type, state]) => [type, state]), [
      ["tool-trip_status", "output-error"],
      ["tool-fly", "output-error"],
      ["tool-list_quotes", "output-error"],
    ]);
    for (const tab of [chat, late]) {
      isFine(tab);
      assert.deepEqual(called(tab.lastMessage), kept);
      await isShownAs(tab);
    }
    assert.equal((await asked(id)).length, 2);
  });

  scenario("a trip is ordered once its user agrees, and the answer goes on where it was", async (id) => {
    const chat = await openTab(id, CHARTER);
    await chat.sendMessage(say(`${ORDER} ${id}`));
    isFine(chat);
    const { id: answer, parts } = chat.lastMessage;
    const { approval, state } = parts.find(({ type }) => type === "tool-create_trip");
    assert.equal(state, "approval-requested");
    const late = await openTab(id, CHARTER);
    await chat.addToolApprovalResponse({ id: approval.id, approved: true });
    await until("the answer has gone on", () => chat.status === "ready" && textOf(chat.lastMessage) !== "");
    await late.addToolApprovalResponse({ id: approval.id, approved: true });
    await until("it has in the other tab", () => late.status === "ready" && textOf(late.lastMessage) !== "");
    for (const tab of [chat, late]) {
      isFine(tab);
      assert.equal(tab.messages.length, 2);
      assert.equal(tab.lastMessage.id, answer);
      assert.equal(textOf(tab.lastMessage), "So be it.");
      const part = tab.lastMessage.parts.find(({ type }) => type === "tool-create_trip");
      assert.deepEqual([part.state, part.output.pax], ["output-available", 4]);
      await isShownAs(tab);
    }
    assert.equal((await asked(id)).length, 2);
  }, APPROVING);

  scenario("a trip that its user does not want is not ordered, and a tab that agrees later hears so", async (id) => {
    const chat = await openTab(id, CHARTER);
    await chat.sendMessage(say(`${ORDER} ${id}`));
    const late = await openTab(id, CHARTER);
    const { approval } = chat.lastMessage.parts.find(({ type }) => type === "tool-create_trip");
    await chat.addToolApprovalResponse({ id: approval.id, approved: false });
    await until("the answer has gone on", () => chat.status === "ready" && textOf(chat.lastMessage) !== "");
    assert.equal(chat.lastMessage.parts.find(({ type }) => type === "tool-create_trip").state, "output-denied");
    await late.addToolApprovalResponse({ id: approval.id, approved: true });
    await until("it is refused", () => late.errors.length === 1);
    assert.match(late.errors[0].message, /denied already/);
  }, APPROVING);

  scenario("an answer that is stopped before its first word leaves none", async (id) => {
    const chat = await openTab(id);
    const sending = chat.sendMessage(say(`[first 5000] ${id}`));
    await until("the model is asked", async () => (await asked(id)).length === 1);
    await chat.stop();
    await chat.sendMessage(say(`[echo next ${id}]`));
    await sending;
    isFine(chat);
    assert.equal(textOf(chat.lastMessage), `next ${id}`);
    assert.deepEqual((await asked(id)).at(-1).map(([role]) => role), ["user", "user"]);
  });

  scenario("a page that is loaded again shows the answer from its first word to its last", async (id) => {
    const before = await openTab(id);
    const sending = before.sendMessage(say(`${LONG} ${id}`));
    await firstWords(before);
    await before.stop(); // all that a page does that goes away
    const chat = await openTab(id);
    assert.deepEqual(spoken(chat.messages), [["user", `${LONG} ${id}`]]);
    const resuming = chat.resumeStream();
    await firstWords(chat);
    await stop(id);
    await Promise.all([sending, resuming]);
    isFine(chat);
    await isShownAs(chat);
    await chat.resumeStream();
    isFine(chat);
    await isShownAs(chat);
    assert.equal((await asked(id)).length, 1);
  });

  scenario("a model that fails is an error, and the question can be asked again", async (id) => {
    const chat = await openTab(id);
    await chat.sendMessage(say(`[error 500] ${id}`));
    assert.equal(chat.status, "error");
    assert.equal(chat.errors.length, 1);
    assert.match(chat.error.message, /model/);
    await chat.regenerate();
    assert.equal(chat.status, "error");
    await chat.sendMessage({ ...say(`[echo fine ${id}]`), messageId: chat.messages[0].id });
    assert.equal(chat.status, "ready");
    assert.deepEqual(spoken(chat.messages).at(-1), ["assistant", `fine ${id}`]);
    assert.deepEqual((await asked(id)).at(-1), [["user", `[echo fine ${id}]`]]);
  });

  scenario("a model that breaks off is an error, and what it said is kept", async (id) => {
    const chat = await openTab(id);
    await chat.sendMessage(say(`[chunks 10] [cut 5] ${id}`));
    assert.equal(chat.status, "error");
    assert.match(chat.error.message, /broke/);
    assert.notEqual(textOf(chat.lastMessage), "");
    await isShownAs(chat);
    await chat.sendMessage(say(`[echo next ${id}]`));
    assert.equal(chat.status, "ready");
    assert.deepEqual((await asked(id)).at(-1), spoken(chat.messages).slice(0, -1));
  });

  scenario("a connection that is cut is taken up again, and no word is shown twice", async (id, context) => {
    const way = await openWay(context);
    const chat = await openTab(id, way);
    const sending = chat.sendMessage(say(`${LONG} ${id}`));
    const seen = await firstWords(chat);
    way.cut();
    await sending;
    assert.equal(chat.status, "error");
    const resuming = chat.resumeStream();
    await firstWords(chat, seen.split(" ").length);
    await stop(id);
    await resuming;
    assert.equal(chat.status, "ready");
    await isShownAs(chat);
    assert.equal((await asked(id)).length, 1);
  }, RESUMING_TWICE);

  scenario("a retry after a cut joins the answer that goes on", async (id, context) => {
    const way = await openWay(context);
    const chat = await openTab(id, way);
    const sending = chat.sendMessage(say(`${LONG} ${id}`));
    await firstWords(chat);
    way.cut();
    await sending;
    const retrying = chat.regenerate();
    await until("it is shown anew", () => chat.status === "streaming");
    await stop(id);
    await retrying;
    assert.equal(chat.status, "ready");
    await isShownAs(chat);
    assert.equal((await asked(id)).length, 1);
  });

  scenario("an answer that ended while nobody could hear it is had by its turn's name", async (id, context) => {
    const way = await openWay(context);
    const lastTurn = () => chat.messages.findLast((message) => message.metadata?.turn_id)?.metadata.turn_id;
    const chat = await openTab(id, {
      ...way,
      prepareReconnectToStreamRequest: ({ headers }) => ({
        headers: { ...headers, ...(lastTurn() && { "Last-Event-ID": `${lastTurn()}:0` }) },
      }),
    });
    const sending = chat.sendMessage(say(`${LONG} ${id}`));
    await firstWords(chat);
    way.close();
    await sending;
    await stop(id);
    way.open();
    await chat.resumeStream();
    assert.equal(chat.status, "ready");
    await isShownAs(chat);
  }, RESUMING_TWICE);

  scenario("a message that never arrived is asked by a retry, and no other", async (id, context) => {
    const way = await openWay(context);
    const chat = await openTab(id, way);
    for (const words of ["one", "two"]) {
      way.close();
      await chat.sendMessage(say(`[echo ${words} ${id}]`));
      assert.equal(chat.status, "error");
      way.open();
      await chat.regenerate();
      assert.equal(chat.status, "ready");
      assert.equal(textOf(chat.lastMessage), `${words} ${id}`);
      await isShownAs(chat);
    }
    assert.deepEqual((await asked(id)).at(-1), spoken(chat.messages).slice(0, -1));
  });

  scenario("a second tab shows the same answer, and may speak when it has ended", async (id) => {
    const here = await openTab(id);
    const sending = here.sendMessage(say(`${LONG} ${id}`));
    await firstWords(here);
    const there = await openTab(id);
    const following = there.resumeStream();
    await firstWords(there);
    const third = await openTab(id);
    await third.sendMessage(say(`[echo third ${id}]`));
    assert.equal(third.status, "error");
    assert.match(third.error.message, /session_busy/);
    await stop(id);
    await Promise.all([sending, following]);
    isFine(here);
    isFine(there);
    await isShownAs(here);
    await isShownAs(there);
    await third.regenerate();
    assert.equal(third.status, "ready");
    assert.equal(textOf(third.lastMessage), `third ${id}`);
    assert.deepEqual((await asked(id)).at(-1), spoken(await shown(id)).slice(0, -1));
  });

  scenario("each of two tabs goes on from the answer that it shows", async (id) => {
    const here = await openTab(id);
    await here.sendMessage(say(`[echo one ${id}]`));
    const there = await openTab(id);
    await here.regenerate();
    await there.sendMessage(say(`[echo there ${id}]`));
    await here.sendMessage(say(`[echo here ${id}]`));
    isFine(here);
    isFine(there);
    const parents = Object.fromEntries((await shown(id)).map((message) => [message.id, message.parent_id]));
    assert.equal(parents[there.messages[2].id], there.messages[1].id);
    assert.equal(parents[here.messages[2].id], here.messages[1].id);
    assert.deepEqual((await asked(id)).at(-1), spoken(here.messages).slice(0, -1));
  });

  scenario("a tab that was left open knows what was said in another one", async (id) => {
    const here = await openTab(id);
    await here.sendMessage(say(`[echo one ${id}]`));
    const there = await openTab(id);
    await here.sendMessage(say(`[echo two ${id}]`));
    await there.sendMessage(say(`[echo three ${id}]`));
    isFine(there);
    assert.deepEqual((await asked(id)).at(-1), spoken(await shown(id)).slice(0, -1));
  });

  scenario("an answer that another tab stops ends with what it has", async (id) => {
    const chat = await openTab(id);
    const sending = chat.sendMessage(say(`${LONG} ${id}`));
    await firstWords(chat);
    await stop(id);
    await sending;
    isFine(chat);
    await isShownAs(chat);
    assert.equal((await shown(id))[1].status, "stopped");
  });

  scenario("an answer is not given again where another question is being answered", async (id) => {
    const here = await openTab(id);
    await here.sendMessage(say(`[echo one ${id}]`));
    const there = await openTab(id);
    const sending = here.sendMessage(say(`${LONG} ${id}`));
    await firstWords(here);
    await there.regenerate();
    assert.match(there.error.message, /session_busy/);
    assert.equal(there.messages.length, 1);
    await stop(id);
    await sending;
    isFine(here);
  });

  scenario("what the model thinks is no part of what it says", async (id) => {
    const chat = await openTab(id);
    await chat.sendMessage(say(`[think hm ${id}] [echo yes]`));
    isFine(chat);
    const parts = ({ parts }) => parts.filter(({ type }) => type !== "step-start").map(({ type, text }) => [type, text]);
    assert.deepEqual(parts(chat.lastMessage), [
      ["reasoning", `hm ${id}`],
      ["text", "yes"],
    ]);
    assert.deepEqual(parts((await shown(id))[1]), parts(chat.lastMessage));
  });

  scenario("a component that is mounted again takes up the answer", async (id) => {
    const before = await openTab(id);
    const sending = before.sendMessage(say(`${LONG} ${id}`));
    await firstWords(before);
    await before.stop();
    await sending;
    const component = await mount(id);
    await until("it shows the answer", () => component.chat.messages.length === 2);
    await stop(id);
    await until("the answer has ended", () => component.chat.status === "ready");
    assert.deepEqual(component.errors, []);
    await isShownAs(component.chat);
    await component.chat.sendMessage(say(`[echo next ${id}]`));
    await until("it shows the next answer", () => textOf(component.chat.messages.at(-1)) === `next ${id}`);
    await isShownAs(component.chat);
    await component.unmount();
  });
});
