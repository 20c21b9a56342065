"""A conversation as Markdown: nothing that anybody wrote is taken for its structure."""

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.sessions.messages.markdown import opening_of, section_of
from services.gateway.sessions.view import show_session
from services.gateway.turns.past.history import HistoryMessage
from tests.pure.gateway.samples import facts, minutes, stored

PIECES = ["`", "```", "````", "\n```\n", "\n`````\n# x", "\n", "\r", "# ", "## Assistant", "~~~", "<script>", "> ", "x"]
HOSTILE = st.lists(st.sampled_from(PIECES)).map("".join)


def said(content: str, **about: object) -> HistoryMessage:
    values: dict[str, Any] = {"role": "user", "parts": [], "model": None, "status": "complete", "parent_id": None}
    return HistoryMessage(message_id="m1", content=content, created_at=minutes(1), **{**values, **about})


def outside_of_fences(document: str) -> list[str]:
    """Return the lines that Markdown takes for structure (CommonMark, fenced code blocks)."""
    lines, fence = [], ""
    for line in re.split(r"\r\n|\n|\r", document):
        if fence:
            closing = re.fullmatch(r" {0,3}(`+)[ \t]*", line)
            fence = "" if closing and len(closing[1]) >= len(fence) else fence
        elif opening := re.match(r" {0,3}(`{3,})[^`]*$", line):
            fence = opening[1]
        else:
            lines.append(line)
    assert not fence
    return [line for line in lines if line]


@given(st.text() | HOSTILE, st.text(min_size=1) | HOSTILE)
def test_what_was_said_is_whole_and_no_structure(content: str, kind: str) -> None:
    document = section_of(said(content, parts=[{"type": kind, "toolName": "```\n# x"}]))
    assert content in document
    heading, time, *rest = outside_of_fences(document)
    assert (heading, time) == ("## User", "2020-01-01 12:01:00 UTC")
    assert len(rest) <= 1
    assert all(re.fullmatch(r"Part (`+)[^\n]*\1:", line) for line in rest)


@given(st.text() | HOSTILE)
def test_a_title_is_one_line_of_code(title: str) -> None:
    view = show_session(facts(stored=stored(title=title)), [])
    assert view is not None
    first, *_ = opening_of(view.session).split("\n")
    match = re.fullmatch(r"# (`+)(.*[^`]|[^`])\1", first, flags=re.DOTALL)
    assert match
    assert match[1] not in re.findall(r"`+", match[2])


def test_an_answer_tells_its_model_and_how_it_ended() -> None:
    told = section_of(said("", role="assistant", model="gpt", status="stopped")).split("\n")
    assert told == ["## Assistant", "", "2020-01-01 12:01:00 UTC · `gpt` · stopped", "", ""]


def test_where_a_round_begins_is_no_part_of_what_was_said() -> None:
    parts = [{"type": "tool-look", "toolCallId": "c1"}, {"type": "step-start"}, {"type": "text", "text": "Seen."}]
    told = section_of(said("Seen.", role="assistant", parts=parts))
    assert [line for line in told.split("\n") if line.startswith("Part")] == ["Part `tool-look`:"]
