"""The claim of a turn that a client of OpenAI's asks for. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from services.gateway.account.identity import Caller
from services.gateway.chat.memory import Remembered
from services.gateway.model.configured.catalog import ConfiguredModel
from services.gateway.turns.past.kept import Kept
from services.gateway.turns.stored.claims import Claim
from services.gateway.turns.turn import Question
from services.gateway.v1.reading.asked import Asked
from shared.ids import derived_id, new_id


@dataclass(frozen=True)
class Beginning:
    """A request, and who sends it."""

    asked: Asked
    caller: Caller
    account: str
    model: ConfiguredModel
    correlation_id: UUID
    traceparent: str | None
    client: Mapping[str, str] | None  # from where it comes, as far as that is kept

    def claim(
        self,
        remembered: Remembered,
        session_id: str | None,
        *,
        parent_id: str | None,
        kept: Kept,
        key: str | None,
        owner: str,
    ) -> Claim:
        """Make the claim of a turn in the session that is remembered; a new one where there is none."""
        turn_id = new_id()
        return Claim(
            turn_id=turn_id,
            user_id=remembered.user_id,
            session_id=session_id or str(new_id()),
            key=key,
            body_hash=self.asked.naming.body_hash,
            owner=owner,
            account=self.account,
            correlation_id=self.correlation_id,
            traceparent=self.traceparent,
            model=self.model.name,
            provider=self.model.provider,
            project_id=kept.project_id or self.asked.naming.project_id,
            helper=kept.helper,
            question=_chained(self.asked, turn_id, parent_id).said_by(self.client),
            known_until=remembered.known_until,
            remembers_from=remembered.history[0].created_at if remembered.history else None,
            begins=remembered.is_new,
            is_recalled=remembered.is_recalled,
            tag=remembered.tag,
        )


def _chained(asked: Asked, turn_id: UUID, parent_id: str | None) -> Question:
    """Give each new message its id, which follows from the turn, and its parent; the last brings the others."""
    chain: list[Question] = []
    new: Sequence[Question] = asked.conversation.new
    for index, question in enumerate(new):
        message_id = str(derived_id(turn_id, f"question/{index}"))
        parent_id = chain[-1].message_id if chain else parent_id
        metadata = {**asked.naming.metadata, **question.metadata} if index == len(new) - 1 else question.metadata
        chain.append(replace(question, message_id=message_id, parent_id=parent_id, metadata=metadata))
    return replace(chain[-1], earlier=tuple(chain[:-1]), history=asked.conversation.history)


def sent_key(asked: Asked) -> str:
    """Return what the keys of all turns of a request begin with, whose client has no key of its own."""
    return f"v1:sent:{asked.naming.body_hash.hex()[:32]}:"
