"""A proposal as a page of HTML, in which everything that anybody wrote is text."""

from collections.abc import Iterable
from html import escape

from shared.proposals.content import Content
from shared.proposals.wording import Offer, paragraphs, worded

STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:42em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;padding:.4em;border-bottom:1px solid #999}"
    "td:last-child,th:last-child{text-align:right;white-space:nowrap}"
)


def as_html(content: Content, message: str | None = None) -> str:
    """Write a proposal as a whole page, a message before it; it needs nothing from elsewhere."""
    said = worded(content)
    title = escape(said.title)
    journey = "".join(f"<li>{escape(line)}</li>" for line in said.journey)
    letter, note = (_paragraphs(lines) for lines in (paragraphs(message), said.note))
    offers = "".join(map(_row, said.offers))
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style></head>"
        f"<body>{letter}<h1>{title}</h1>{f'<ul>{journey}</ul>' if journey else ''}{note}"
        f"<table><thead><tr><th>Aircraft</th><th>Operator</th><th>Price</th></tr></thead><tbody>{offers}</tbody></table>"
        "</body></html>\n"
    )


def _paragraphs(lines: Iterable[str]) -> str:
    return "".join(f"<p>{escape(line)}</p>" for line in lines)


def _row(offer: Offer) -> str:
    cells = (offer.aircraft, offer.operator, offer.price)
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
