// The page of the plan "Helpers and history", as the plan has it, word for word but for one line of dots, which stood
// for what else a page sends. What it stands on is the page's own: page.ts.
declare const fetch: any, projectId: string, helper: string, currentSession: any;
declare const setSessions: any, setCurrentSession: any, setMessages: any, handleStartJourney: any, saveMessage: any;
type ChatSession = any;

// User clicks "+ New Chat"
const handleNewChat = async () => {
  // 1. Create session in database
  const response = await fetch("/api/chat/sessions", {
    method: "POST",
    body: JSON.stringify({ projectId, helper, title: "New Chat" })
  });

  // 2. Add to session list
  const { session } = await response.json();
  setSessions(prev => [session, ...prev]);

  // 3. Make it active
  setCurrentSession(session);
  setMessages([]);

  // 4. Auto-start journey
  await handleStartJourney(session);
};

// User clicks session in sidebar
const loadSession = async (session: ChatSession) => {
  // 1. Fetch messages
  const response = await fetch(`/api/chat/sessions/${session.id}/messages`);
  const { messages } = await response.json();

  // 2. Update state
  setMessages(messages);
  setCurrentSession(session);

  // 3. Thread ID available for continued conversation
  // session.thread_id used in next API call
};

// User sends message
const handleSubmitMessage = async (content: string) => {
  // 1. Add to UI immediately
  const userMessage = { id: Date.now(), role: "user", content };
  setMessages(prev => [...prev, userMessage]);

  // 2. Save to database
  await saveMessage(currentSession.id, "user", content);

  // 3. Send to OpenAI with thread_id
  const response = await fetch("/api/chat", {
    method: "POST",
    body: JSON.stringify({
      threadId: currentSession.thread_id,
      message: content,
    })
  });

  // 4. Stream response
  // 5. Save assistant message to database
};

export { handleNewChat, loadSession, handleSubmitMessage };
