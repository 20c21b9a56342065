// What the snippets stand on: a page's state, and the calls that the plan names without showing them.
import { call, json } from "./caller.ts";

export const state = { sessions: [], session: null, messages: [], answer: null } as any;
const set = (name: string) => (next: any) => {
  state[name] = typeof next === "function" ? next(state[name]) : next;
};

/** Store a message as the plan's own page does, once it has shown it. */
async function saveMessage(id: string, role: string, content: string) {
  return json(`/api/chat/sessions/${id}/messages`, { method: "POST", body: JSON.stringify({ role, content }) });
}

/** Let the helper speak first. */
async function handleStartJourney(session: any) {
  const body = JSON.stringify({ id: session.id, start_journey: true });
  await json("/api/chat/sessions", { method: "POST", body });
}

async function fetch(path: string, init?: RequestInit) {
  const response = await call(path, init);
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  if (path === "/api/chat") state.answer = response;
  return response;
}

Object.assign(globalThis, { fetch, saveMessage, handleStartJourney, projectId: "p1", helper: "charter" });
Object.assign(globalThis, { setSessions: set("sessions"), setMessages: set("messages"), setCurrentSession: set("session") });
Object.defineProperty(globalThis, "currentSession", { get: () => state.session });

const { handleNewChat, loadSession, handleSubmitMessage } = await import("./snippets.ts");
export { handleNewChat, loadSession };

/** Send a message by the snippet, and do what its last two lines say: read the stream, and store the answer. */
export async function submit(content: string) {
  await handleSubmitMessage(content);
  const events = (await state.answer.text()).split("\n").filter((line: string) => line.startsWith("data: {"));
  const parts = events.map((line: string) => JSON.parse(line.slice(6)));
  const text = parts.map((part: any) => (part.type === "text-delta" ? part.delta : "")).join("");
  await saveMessage(state.session.id, "assistant", text);
  return text;
}

export const switchTo = (id: string) => loadSession(state.sessions.find((session: any) => session.id === id));
export const texts = () => state.messages.map((message: any) => [message.role, message.content]);

/** Load the page: the list of the sidebar, and nothing else. */
export async function reload(helper = "charter", project = "p1") {
  const { sessions } = await json(`/api/chat/sessions?helper=${helper}&projectId=${project}`);
  Object.assign(state, { sessions, session: null, messages: [] });
}
