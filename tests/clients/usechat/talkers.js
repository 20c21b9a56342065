// Many users who talk until standard input ends: `node talkers.js`, with GATEWAY and USERS, a list of {id, token}.
// It prints what came of it, as JSON: of each user the messages that they see, and what went wrong on the way.
import { setTimeout as sleep } from "node:timers/promises";
import { openTab, say, textOf } from "./browser.js";

const A_THOUGHT_MS = 3000;
const A_CLICK_MS = 500; // until somebody who sees an error has found the button that says "again"
const MOST_CLICKS = 20;

let isOver = false;
process.stdin.resume().on("end", () => (isOver = true));

async function talk({ id, token }) {
  const chat = await openTab(id, { token });
  const healed = [];
  const unhealed = [];
  let sent = 0;
  for (; !isOver; await sleep(A_THOUGHT_MS)) {
    sent += 1;
    await chat.sendMessage(say(`[chunks 5] [slow 300] ${sent} ${id}`));
    for (let clicks = 0; chat.status === "error" && clicks < MOST_CLICKS; clicks += 1) {
      const { message } = chat.error;
      await sleep(A_CLICK_MS);
      await chat.regenerate();
      (chat.status === "error" ? unhealed : healed).push(message);
    }
  }
  return { id, sent, healed, unhealed, messages: chat.messages.map((m) => [m.role, m.id, textOf(m)]) };
}

console.log(JSON.stringify(await Promise.all(JSON.parse(process.env.USERS).map(talk))));
