"""The claim of a turn that a client of OpenAI's asks for. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
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
            question=_chained(self.asked, turn_id, parent_id, self.client),
            known_until=remembered.known_until,
            remembers_from=remembered.history[0].created_at if remembered.history else None,
            begins=remembered.is_new,
            is_recalled=remembered.is_recalled,
            tag=remembered.tag,
            names_session=self.asked.naming.session_id is not None,
        )


def _chained(asked: Asked, turn_id: UUID, parent_id: str | None, client: Mapping[str, str] | None) -> Question:
    """Give each new message its id, which follows from the turn, its parent, and from where it was said.

    The last one brings the others.
    """
    chain: list[Question] = []
    new: Sequence[Question] = asked.conversation.new
    for index, question in enumerate(new):
        own: dict[str, Any] = {"message_id": str(derived_id(turn_id, f"question/{index}")), "client": client}
        own["parent_id"] = chain[-1].message_id if chain else parent_id
        if index == len(new) - 1:
            own |= {"metadata": {**asked.naming.metadata, **question.metadata}, "earlier": tuple(chain)}
            own["history"] = asked.conversation.history
        chain.append(replace(question, **own))
    return chain[-1]


def sent_key(asked: Asked) -> str:
    """Return what the keys of all turns of a request begin with, whose client has no key of its own."""
    return f"v1:sent:{asked.naming.body_hash.hex()[:32]}:"
