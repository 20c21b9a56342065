"""A proposal as Markdown, in which everything that anybody wrote is text."""

import re

from shared.proposals.content import Content
from shared.proposals.wording import worded

_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")


def as_markdown(content: Content) -> str:
    """Write a proposal as Markdown of the kind that GitHub reads."""
    said = worded(content)
    blocks = [f"# {_text(said.title)}"]
    if said.journey:
        blocks.append("\n".join(f"- {_text(line)}" for line in said.journey))
    blocks += map(_text, said.note)
    rows = [f"| {_text(each.aircraft)} | {_text(each.operator)} | {_text(each.price)} |" for each in said.offers]
    blocks.append("\n".join(["| Aircraft | Operator | Price |", "|---|---|---:|", *rows]))
    return "\n\n".join(blocks) + "\n"


def _text(text: str) -> str:
    """Escape whatever could be structure: CommonMark lets every punctuation mark of ASCII be."""
    return _PUNCTUATION.sub(r"\\\1", text)
