"""Which title an answer is, whatever a model puts around it, and which answers are none."""
# ruff: noqa: RUF001

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.gateway.titles.cleaning import LONGEST, title_of_answer

PLAIN = "Teterboro to Aspen in May"


@pytest.mark.parametrize(
    "answer",
    [
        PLAIN,
        f"  {PLAIN}.\n",
        f'"{PLAIN}"',
        f"“{PLAIN}.”",
        f"„{PLAIN}“",
        f"«{PLAIN}»",
        f"「{PLAIN}」",
        f'"{PLAIN}',
        f"**{PLAIN}**",
        f"# {PLAIN}",
        f"### **{PLAIN}**",
        f"- {PLAIN}",
        f"1. {PLAIN}",
        f"> *{PLAIN}*",
        f"`{PLAIN}`",
        f"```\n{PLAIN}\n```",
        f"```text\n{PLAIN}\n```",
        f"[{PLAIN}](https://example.com)",
        f"Title: {PLAIN}",
        f"**Title:** {PLAIN}",
        f'Title: "{PLAIN}"',
        f'**"Title: {PLAIN}"**',
        f"title - {PLAIN}",
        f"Titel: {PLAIN}",
        f"Titre : {PLAIN}",
        f"Título: {PLAIN}",
        f"Заголовок: {PLAIN}",
        f"标题：{PLAIN}",
        f"タイトル：「{PLAIN}」",
        f"Generated title: {PLAIN}",
        f"Chat title: {PLAIN}",
        f"Here's a short title: {PLAIN}",
        f"Here is a concise title for this conversation: {PLAIN}",
        f"Sure! Here is a title: {PLAIN}",
        f"Sure! Here is one that fits:\n\n{PLAIN}",
        f"Of course.\n\n**{PLAIN}**",
        f"{PLAIN}\n\nIt names the route and the month.",
        f'{{"title": "{PLAIN}"}}',
        f'```json\n{{"title": "{PLAIN}"}}\n```',
        f"The user flies to Aspen, so...\n</think>\n\n{PLAIN}",
        f"<title>{PLAIN}</title>",
        f"\ufffd {PLAIN}\ufffd",
        f"\u202e{PLAIN}\u200b\x07",
        PLAIN.replace(" ", "\u00a0\t"),
    ],
)
def test_what_models_put_around_a_title_is_no_part_of_it(answer: str) -> None:
    assert title_of_answer(answer) == PLAIN


@pytest.mark.parametrize(
    "answer",
    [
        "",
        " \n\t ",
        '""',
        "***",
        "...",
        "\u202e\u200b",
        "New Chat",
        "**Untitled**",
        "Title:",
        "None",
        "I'm sorry, but I can't help with that.",
        "I’m sorry, I can't",
        "I cannot give this conversation a title",
        "Sorry, I need more details",
        "As an AI language model, I have no title",
        "Es tut mir leid, dabei kann ich nicht helfen",
        "Lo siento, no puedo ayudar",
        "抱歉，我无法",
        "Sure! I can help you plan that trip",
        "Sure, I will fly you there.\nFirst I need the date.\nThen the passengers.\nThen I ask operators.",
        "word " * 2000,
        "w" * 10_000,
        "a sentence that goes on as an answer does " * 3,
        '{"title": null}',
        '{"title": ["x"]}',
        '{"name": ',
        "{" * 5000,
        "[]",
    ],
)
def test_what_cannot_be_meant_as_a_title_is_none(answer: str) -> None:
    assert title_of_answer(answer) is None


@pytest.mark.parametrize(
    "title",
    [
        'The "Silver Arrow" and the "Gulf"',
        "Title search for N123AB: what it costs",
        "create_trip answers 409?",
        "Flug von Zürich nach Genf",
        "从特特伯勒到阿斯彭的航班",
        "رحلة إلى دبي",
        "می\u200cخواهم به دبی بروم",
        "2 passengers, 3 legs",
        "Who's flying to Aspen?",
        "Range of 3 < 4 and 5 > 4",
        "👩\u200d✈️ crew duty",
    ],
)
def test_a_title_that_only_looks_odd_stays_as_it_is(title: str) -> None:
    assert title_of_answer(title) == title


def test_one_that_grew_a_little_is_cut_at_a_words_end() -> None:
    title = title_of_answer("A flight for five from Teterboro to Aspen and back again in the second week of May")
    assert title == "A flight for five from Teterboro to Aspen and back again in…"
    assert len(title) <= LONGEST
    assert title_of_answer("航" * 70) == "航" * 59 + "…"


@given(
    st.text(max_size=300) | st.lists(st.sampled_from([*'"“*_`#[]()<>{}:-.\n', "Title", "a ", "</think>"])).map("".join)
)
@example('"' * 100)
@example("Title: " * 20)
@example("**_" * 30)
def test_a_title_is_one_line_of_what_shows_and_ends_in_time(answer: str) -> None:
    title = title_of_answer(answer)
    if title is not None:
        assert 0 < len(title) <= LONGEST
        assert title == title.strip()
        assert not any(unicodedata.category(each) in ("Cc", "Cs", "Co", "Cn") for each in title)
        assert "\u202e" not in title
