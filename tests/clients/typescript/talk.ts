// Talk to a gateway with a client made of its own document: `node talk.ts URL TOKEN`. It prints what it has read, as JSON.
import createClient from "openapi-fetch";
import type { components, paths } from "./api.ts";

type Json = "application/json" | "application/problem+json";

const [url = "", token = ""] = process.argv.slice(2);
const gateway = createClient<paths, Json>({ baseUrl: url, headers: { Authorization: `Bearer ${token}` } });

function good<T>(data: T | undefined, error: unknown): T {
  if (data === undefined) throw new Error(JSON.stringify(error));
  return data;
}

// A body needs nothing but what is said: no field is required for having a default.
const chat = await gateway.POST("/api/chat", { body: { session_id: "typescript", message: "[echo hello]", stream: false } });
const answer: components["schemas"]["ChatAnswer"] = good(chat.data, chat.error);

const path = { session_id: answer.session_id };
const page = await gateway.GET("/api/chat/sessions/{session_id}/messages", { params: { path } });
const messages = good(page.data, page.error).messages;

const sessions = await gateway.GET("/api/chat/sessions", { params: { query: { limit: 10 } } });

const missing = await gateway.GET("/api/chat/sessions/{session_id}", { params: { path: { session_id: "nowhere" } } });
const problem: components["schemas"]["Problem"] | undefined = missing.error;

console.log(
  JSON.stringify({
    said: answer.message.content,
    messages: messages.map((message) => [message.role, message.content]),
    sessions: good(sessions.data, sessions.error).sessions.map((session) => session.id),
    code: problem?.code,
  }),
);
