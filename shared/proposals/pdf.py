"""A proposal as a PDF. Its font comes along, since those that every reader has know no `Ł`; it takes some 0.2 s."""

from pathlib import Path
from typing import TYPE_CHECKING

from shared.proposals.content import Content
from shared.proposals.wording import Wording, worded

if TYPE_CHECKING:
    from fpdf import FPDF

FONT = Path(__file__).with_name("fonts") / "DejaVuSans.ttf"
FAMILY = "DejaVu"


def as_pdf(content: Content) -> bytes:
    """Write a proposal as a PDF; characters that DejaVu Sans does not have are boxes."""
    from fpdf import FPDF  # noqa: PLC0415 - it takes as long as all else, and few processes ever write one

    said = worded(content)
    pdf = FPDF(format="A4")
    pdf.set_title(said.title)
    pdf.set_lang("en")
    pdf.add_font(FAMILY, fname=FONT)
    pdf.add_page()
    _line(pdf, said.title, 20)
    for line in [*said.journey, *said.note]:
        _line(pdf, line, 11)
    _offers(pdf, said)
    return bytes(pdf.output())


def _line(pdf: "FPDF", text: str, size: float) -> None:
    pdf.set_font(FAMILY, size=size)
    pdf.multi_cell(0, size * 0.5, text, new_x="LMARGIN", new_y="NEXT")
    pdf.ln(2)


def _offers(pdf: "FPDF", said: Wording) -> None:
    pdf.set_font(FAMILY, size=10)
    with pdf.table(
        col_widths=(40, 35, 25),
        text_align=("LEFT", "LEFT", "RIGHT"),
        first_row_as_headings=False,
    ) as table:
        table.row(("Aircraft", "Operator", "Price"))
        for offer in said.offers:
            table.row((offer.aircraft, offer.operator, offer.price))
