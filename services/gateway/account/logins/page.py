"""The page of a login link: plain HTML with one button, so that whoever only opens the link does not use it up."""

from base64 import b64encode
from hashlib import sha256
from html import escape

from starlette.responses import HTMLResponse

STYLE = """
body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 30rem; margin: 4rem auto; padding: 0 1rem; }
button { font: inherit; padding: .5rem 1.5rem; }
"""
HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    # With none at all a browser writes `Origin: null` to its form, and that is no page of ours.
    "Referrer-Policy": "same-origin",
}


def button_page(user_id: str, token: str) -> HTMLResponse:
    """Ask whoever opened the link whether they want to be this user here."""
    return _page(
        "Sign in to Tripthread",
        f"<p>This browser will be signed in as <b>{escape(user_id)}</b>.</p>"
        f'<form method="post" action="login"><input type="hidden" name="token" value="{escape(token)}">'
        "<button>Sign in</button></form>",
    )


def done_page(user_id: str) -> HTMLResponse:
    """Say that the browser is signed in."""
    return _page(
        "Signed in", f'<p>This browser is signed in as <b>{escape(user_id)}</b>. <a href="/docs">The API</a></p>'
    )


def _page(title: str, body: str) -> HTMLResponse:
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style></head><body><h1>{title}</h1>{body}</body></html>",
        headers=HEADERS,
    )
