// A browser's tabs, without a browser: chats as useChat has them, on one gateway.
import net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { createElement } from "react";
import { create } from "react-test-renderer";

const { GATEWAY, TOKEN, MODEL, SDK } = process.env;
const bearer = (token) => ({ Authorization: `Bearer ${token}` });
const headers = bearer(TOKEN);
const { Chat, useChat } = await import(SDK === "oldest" ? "@ai-sdk/react-oldest" : "@ai-sdk/react");
const ai = await import(SDK === "oldest" ? "ai-oldest" : "ai");
const { DefaultChatTransport, lastAssistantMessageIsCompleteWithApprovalResponses } = ai;

export const sendAutomaticallyWhen = lastAssistantMessageIsCompleteWithApprovalResponses; // the AI SDK 5 has none
export const isOldest = SDK === "oldest";

const transportTo = (gateway, more = {}) =>
  new DefaultChatTransport({ api: `${gateway}/api/chat`, headers, fetch: browserFetch, ...more });

/** Open a chat as a page does that is loaded: with what the gateway shows of it. */
export async function openTab(id, { gateway = GATEWAY, token = TOKEN, sendAutomaticallyWhen, ...transport } = {}) {
  const errors = [];
  const chat = new Chat({
    id,
    messages: await shown(id, token),
    transport: transportTo(gateway, { headers: bearer(token), ...transport }),
    sendAutomaticallyWhen,
    onError: (error) => errors.push(error),
  });
  return Object.assign(chat, { errors });
}

/** Mount a component that uses the chat and takes up the answer that is being given. */
export async function mount(id) {
  globalThis.IS_REACT_ACT_ENVIRONMENT = false;
  const component = { chat: undefined, errors: [] };
  const messages = await shown(id);
  function Component() {
    const onError = (error) => component.errors.push(error);
    component.chat = useChat({ id, messages, resume: true, transport: transportTo(GATEWAY), onError });
    return null;
  }
  const root = create(createElement(Component));
  await until("it is mounted", () => component.chat !== undefined);
  return Object.assign(component, { unmount: () => root.unmount() });
}

/** The messages as GET has them, which are UI messages with more to tell. */
export async function shown(id, token = TOKEN) {
  const response = await fetch(`${GATEWAY}/api/chat/sessions/${id}/messages`, { headers: bearer(token) });
  if (response.status === 404) return [];
  if (!response.ok) throw new Error(await response.text());
  return (await response.json()).messages;
}

/** Stop the answer, as a page does that has a button for it. */
export async function stop(id) {
  const response = await fetch(`${GATEWAY}/api/chat/${id}/stop`, { method: "POST", headers });
  if (response.status !== 200) throw new Error(`${response.status}`);
}

/** What the model was asked with this mark in it: of each call its messages, as [role, text], without the prompt. */
export async function asked(mark) {
  const { requests } = await (await fetch(`${MODEL}/sim/requests`)).json();
  return requests
    .filter(({ messages }) => JSON.stringify(messages).includes(mark))
    .map(({ messages }) => messages.filter(({ role }) => role !== "system").map(({ role, content }) => [role, content]));
}

export const say = (text) => ({ text });
export const textOf = (message) =>
  (message?.parts ?? []).map((part) => (part.type === "text" ? part.text : "")).join("");
export const spoken = (messages) => messages.map((message) => [message.role, textOf(message)]);
export const named = (messages) => messages.map(({ id, role }) => [role, id]);

export async function until(what, isSo, patience = 60_000) {
  for (const end = Date.now() + patience; !(await isSo()); await sleep(10)) {
    if (Date.now() > end) throw new Error(`waited in vain until ${what}`);
  }
}

/** Wait until the answer has begun to be shown; return what there is of it. */
export async function firstWords(chat, words = 3) {
  const answer = () => (chat.lastMessage?.role === "assistant" ? textOf(chat.lastMessage) : "");
  await until("an answer has begun", () => answer().split(" ").length > words);
  return answer();
}

/** Node says "terminated" where browsers say "network error", by which the SDK knows that a connection was cut. */
async function browserFetch(...request) {
  const response = await fetch(...request);
  if (response.body === null) return response;
  const reader = response.body.getReader();
  const body = new ReadableStream({
    async pull(controller) {
      try {
        const { done, value } = await reader.read();
        done ? controller.close() : controller.enqueue(value);
      } catch (error) {
        controller.error(error.name === "AbortError" ? error : new TypeError("network error"));
      }
    },
    cancel: (reason) => reader.cancel(reason),
  });
  return new Response(body, response);
}

/** A way to the gateway that can be cut. */
export async function openWay(context) {
  const { hostname, port } = new URL(GATEWAY);
  const sockets = new Set();
  let isOpen = true;
  const server = net.createServer((browser) => {
    const gateway = net.connect(Number(port), hostname);
    for (const socket of [browser, gateway]) {
      sockets.add(socket.on("error", () => {}).on("close", () => sockets.delete(socket)));
    }
    if (!isOpen) return cut();
    browser.pipe(gateway).pipe(browser);
  });
  const cut = () => sockets.forEach((socket) => socket.resetAndDestroy());
  await new Promise((listens) => server.listen(0, "127.0.0.1", listens));
  context.after(() => (cut(), server.close()));
  return {
    gateway: `http://127.0.0.1:${server.address().port}`,
    cut,
    close: () => ((isOpen = false), cut()),
    open: () => (isOpen = true),
  };
}
