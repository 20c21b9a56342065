"""A proposal as its client gets it: everything that anybody wrote is text, and nothing says what the operators ask."""

import io
from html.parser import HTMLParser
from typing import Any

import pypdf
import pytest
from markdown_it import MarkdownIt

from shared.proposals.content import Content, Leg, Option
from shared.proposals.html import STYLE, as_html
from shared.proposals.markdown import as_markdown
from shared.proposals.pdf import as_pdf
from shared.proposals.wording import money

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "&lt;b&gt;",
    "*bold* _it_ `code` [a](javascript:alert(1)) ![i](http://x.test)",
    "| cell | cell |",
    "# heading",
    "http://x.test www.x.test a@x.test",
    "~~~",
    "</td></table>",
]


def proposal(text: str, note: str = "") -> Content:
    option = Option(
        quote_id="secret-quote",
        operator_name=text,
        aircraft_type=text,
        price_cents=1_234_567,
        currency="USD",
        client_price_cents=3_350_000,
    )
    leg = Leg(origin="KTEB", destination="KPBI", date="2030-05-04", time="09:30")
    return Content(currency="EUR", note=note or text, options=(option, option), legs=(leg,), pax=6)


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def page(document: str) -> Page:
    page = Page()
    page.feed(document)
    return page


@pytest.mark.parametrize("text", HOSTILE)
def test_in_html_whatever_anybody_wrote_is_text(text: str) -> None:
    shown, plain = page(as_html(proposal(text))), page(as_html(proposal("plain")))
    assert shown.tags == plain.tags
    assert shown.texts.count(text) == 5, "a note, two aircraft, two operators"
    assert "http" not in STYLE


@pytest.mark.parametrize("text", [*HOSTILE, "1. one", "- item", "===", "    code", "> quote", "\\"])
def test_in_markdown_whatever_anybody_wrote_is_text(text: str) -> None:
    reader = MarkdownIt("gfm-like", {"linkify": False})
    shown, plain = (page(reader.render(as_markdown(proposal(each)))) for each in (text, "plain"))
    assert shown.tags == plain.tags
    assert "".join(shown.texts).count(text.strip()) == 5


def words(document: bytes) -> str:
    pages = pypdf.PdfReader(io.BytesIO(document)).pages
    return "\n".join(page.extract_text() for page in pages).replace("\u00a0", " ")


def test_a_pdf_has_its_words() -> None:
    document = as_pdf(proposal("Łódź Jets <b>", note="Łódź, 33 500 €\n\nZürich, Αθήνα, Москва"))
    assert document.startswith(b"%PDF-")
    text = words(document)
    for expected in ("Łódź, 33 500 €", "Zürich, Αθήνα, Москва", "Łódź Jets <b>", "KTEB to KPBI, 2030-05-04, 09:30"):
        assert expected in text
    assert text.count("33 500 EUR") == 2


@pytest.mark.parametrize("text", ["漢字 \U0001f600", "x" * 9_999, "a\x07b\u202ec", "word " * 1_999, "\n" * 9_999 + "x"])
def test_an_odd_note_is_a_pdf_too(text: str) -> None:
    assert words(as_pdf(proposal("plain", note=text)))


def test_nothing_says_what_the_operators_ask() -> None:
    content = proposal("Operator")
    for document in (as_html(content), as_markdown(content), words(as_pdf(content))):
        plain = document.replace("\u00a0", " ").replace("\\", "")
        assert "33 500 EUR" in plain
        for secret in ("12345", "12 345", "1234567", "secret", "USD"):
            assert secret not in plain


@pytest.mark.parametrize(("cents", "said"), [(3_350_000, "33 500 EUR"), (3_601_250, "36 012.50 EUR"), (5, "0.05 EUR")])
def test_an_amount_stays_on_one_line(cents: int, said: str) -> None:
    assert money(cents, "EUR") == said.replace(" ", "\u00a0")
