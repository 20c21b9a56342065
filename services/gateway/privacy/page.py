"""The page `/privacy`: a text of paragraphs and headings as plain HTML, in which whatever was written is text."""

import re
from base64 import b64encode
from hashlib import sha256
from html import escape

PATH = "/privacy"
TITLE = "Privacy"
STYLE = """
body { font: 1.1rem/1.6 system-ui, sans-serif; max-width: 40rem; margin: 3rem auto; padding: 0 1rem; }
:root { color-scheme: light dark; }
"""
POLICY = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def privacy_page(text: str) -> bytes:
    """Return the page of this text, in which empty lines part paragraphs, and `#` begins a heading."""
    paragraphs = re.split(r"\n\s*\n", text.strip().replace("\r\n", "\n"))
    body = "\n".join(_spelled(each.strip()) for each in paragraphs)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{TITLE}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<style>{STYLE}</style></head><body><main><h1>{TITLE}</h1>\n{body}\n</main></body></html>\n"
    ).encode()


def _spelled(paragraph: str) -> str:
    if paragraph.startswith("#"):
        heading, _, rest = paragraph.partition("\n")
        spelled = f"<h2>{escape(heading.lstrip('#').strip())}</h2>"
        return f"{spelled}\n{_spelled(rest.strip())}" if rest.strip() else spelled
    return f"<p>{escape(paragraph).replace(chr(10), '<br>')}</p>"
