"""What a helper says first, where a session begins with its journey: a message that is there as soon as the session."""

from collections.abc import Callable

from services.gateway.account.identity import Caller
from services.gateway.http.write_headers import Write
from services.gateway.sessions.answers import Session
from services.gateway.sessions.messages.posting import NewMessage, Posting
from shared.ids import NAMESPACE, derived_id


class Journeys:
    """Stores first words as messages of clients are: by a row of the gateway's own, so that they are read at once."""

    def __init__(self, posting: Posting, words_of: Callable[[str | None], str | None]) -> None:
        """Take `words_of`, which says what a helper says first."""
        self._posting = posting
        self._words_of = words_of

    async def begin(self, caller: Caller, session: Session, write: Write) -> bool:
        """Begin an empty session with its helper's first words, once; False where there is nothing to say."""
        words = self._words_of(session.helper)
        if not words or session.message_count:
            return False
        message_id = str(derived_id(NAMESPACE, f"first words/{session.id}"))
        message = NewMessage(id=message_id, role="assistant", content=words)
        await self._posting.post(caller, session.id, message, Write(write.wait_s, None, write.correlation_id))
        return True
