"""Talk to a gateway with a client made of its own document: `python talk.py URL TOKEN`. It prints what it has read."""

import json
import sys

from tripthread_client import AuthenticatedClient
from tripthread_client.api.chat import post_chat
from tripthread_client.api.sessions import get_session, list_messages, list_sessions
from tripthread_client.models import ChatAnswer, ChatBody, MessagePage, Problem, SessionPage

gateway = AuthenticatedClient(base_url=sys.argv[1], token=sys.argv[2])

body = ChatBody(session_id="python", message="[echo hello]", stream=False)
answer = post_chat.sync(client=gateway, body=body)
assert isinstance(answer, ChatAnswer), answer
page = list_messages.sync(answer.session_id, client=gateway)
assert isinstance(page, MessagePage), page
sessions = list_sessions.sync(client=gateway, limit=10)
assert isinstance(sessions, SessionPage), sessions
problem = get_session.sync("nowhere", client=gateway)
assert isinstance(problem, Problem), problem
print(
    json.dumps(
        {
            "said": answer.message.content,
            "messages": [[message.role, message.content] for message in page.messages],
            "sessions": [session.id for session in sessions.sessions],
            "code": problem.code,
        }
    )
)
