"""A proposal as plain text, for mails."""

from shared.proposals.content import Content
from shared.proposals.wording import paragraphs, worded


def as_text(content: Content, message: str | None = None) -> str:
    """Write a proposal as plain text, a message before it."""
    said = worded(content)
    offers = [f"{offer.aircraft}, {offer.operator}: {offer.price}" for offer in said.offers]
    return "\n\n".join([*paragraphs(message), said.title, *said.journey, *said.note, *offers]) + "\n"
