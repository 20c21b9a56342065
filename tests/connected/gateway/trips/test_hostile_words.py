"""What an operator writes is data wherever it comes to: in notes, in proposals of every form, and in mails."""

import io
from html.parser import HTMLParser
from typing import Any

import pypdf
from aiohttp import web
from markdown_it import MarkdownIt

from tests.connected.gateway.trips.test_proposals import prepared, send
from tests.connected.gateway.trips.test_trips_over_http import begin, gateway_of
from tests.connected.workflow.stage import Stage, running_workflow, serving
from tests.stand_ins.mail import mail_server
from tests.waiting import until_true

STEERS = "\x00\x1b[2J\x07\u202e\u2066\u200b\ufeff"  # a screen, the direction of writing, and what nobody sees
WORDS = f"<script>alert(1)</script>{STEERS}\r\nBcc: x@y.test\r\n\r\n# *b* [a](javascript:alert(1)) | <img src=x>"
SHOWN = "<script>alert(1)</script> [2J Bcc: x@y.test # *b* [a](javascript:alert(1)) | <img src=x>"


def answers() -> dict[str, dict[str, Any]]:
    """Make what Avinode says of a trip of two operators, of whom one quotes and one declines; all of it hostile."""
    rfqs = [
        {
            "id": f"arfq-{number}",
            "tripId": "HOSTIL",
            "sellerCompany": {"id": f"acompany-{number}", "displayName": WORDS},
            "sellerLift": [
                {
                    "id": f"asellerlift-{number}",
                    "aircraftType": WORDS,
                    "aircraftTail": WORDS,
                    "sourcingStatus": number + 1,
                    "sourcingDisplayStatus": WORDS,
                }
            ],
            "links": {"tripmsgs": [{"id": f"asellermsg-{number}"}]},
        }
        for number in (1, 2)
    ]
    quote = {"id": "aquote-1", "sellerPrice": {"price": 33500, "currency": "USD"}, "sellerMessage": WORDS}
    said = {"message": WORDS, "sellerCompany": {"displayName": WORDS}}
    where = {"startAirport": {"icao": WORDS}, "endAirport": {"icao": WORDS}, "dateTime": {"date": WORDS, "time": WORDS}}
    return {
        "/api/trips/atrip-1": {"id": "atrip-1", "tripId": "HOSTIL", "segments": [where], "rfqs": rfqs},
        "/api/tripmsgs/asellermsg-1": {
            **said,
            "id": "asellermsg-1",
            "rfqAccepted": True,
            "sellerQuote": quote,
            "lift": [{"id": "asellerlift-1"}],
            "links": {"rfqs": [{"id": "arfq-1"}]},
        },
        "/api/tripmsgs/asellermsg-2": {
            **said,
            "id": "asellermsg-2",
            "rfqAccepted": False,
            "declineReason": WORDS,
            "lift": [{"id": "asellerlift-2"}],
            "links": {"rfqs": [{"id": "arfq-2"}]},
        },
    }


async def hostile(request: web.Request) -> web.Response:
    return web.json_response({"data": answers()[request.path]})


class Tags(HTMLParser):
    """Reads which elements a page has, with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        self.attributes |= {name for name, _ in attrs}


def steers(text: str) -> bool:
    return any(sign in text for sign in STEERS if not sign.isprintable())


async def test_what_an_operator_writes_is_data_to_the_end(quiet: Stage) -> None:
    async with mail_server() as mail, serving(hostile) as url:
        settings = {"avinode_base_url": f"{url}/api", "smtp_host": "127.0.0.1", "smtp_port": mail.port}
        secure = {"smtp_security": "none", "smtp_from": "us@broker.test"}
        running = running_workflow(quiet.settings.model_copy(update={**settings, **secure}))
        async with gateway_of(quiet) as gateway, running:
            trip = (await begin(gateway, {"avinode_trip_id": "atrip-1"}, user="ada")).json()["trip"]["id"]
            notes = [note.content for note in await quiet.told(2)]
            proposal = await prepared(gateway, trip, quote_ids=["aquote-1"], note=WORDS.replace("\x00", ""))
            forms = {
                form: (await gateway.get(f"/api/proposals/{proposal}", user="ada", format=form)).content
                for form in ("html", "md", "pdf")
            }
            shown = (await gateway.get(f"/api/trips/{trip}", user="ada")).json()
            await send(gateway, proposal, {"to": "client@example.test"})
            await until_true(lambda: len(mail.came) == 1)

    quoted, declined = sorted(notes, key=lambda note: "quoted" not in note)
    assert quoted.startswith(f"{SHOWN} quoted 33,500 USD for the {SHOWN} ({SHOWN}).")
    assert declined == f"{SHOWN} declined ({SHOWN}). All others have answered."
    assert not any(steers(note) or "\n" in note for note in notes)
    assert {rfq["operator_name"] for rfq in shown["rfqs"]} == {WORDS.replace("\x00", "")}, "as it came, but for NUL"

    html, markdown = (
        Tags(forms["html"].decode()),
        Tags(MarkdownIt("gfm-like", {"linkify": False}).render(forms["md"].decode())),
    )
    for page in (html, markdown):
        assert not page.found & {"script", "img", "a", "iframe", "svg", "form"}, page.found
        assert not any(name.startswith("on") or name in ("href", "src") for name in page.attributes)
    pdf = "".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(forms["pdf"])).pages)
    for document in (forms["html"].decode(), forms["md"].decode(), pdf):
        assert "33 500" in document.replace("\u00a0", " ")
        assert not steers(document)
    assert "<script>alert(1)</script>" in pdf.replace("\n", "")

    got = mail.mail()
    assert (got["To"], got["Bcc"]) == ("client@example.test", None)
    assert mail.came[0].rcpt_tos == ["client@example.test"]
    assert not steers(got["Subject"])
    bodies = [got.get_body((kind,)) for kind in ("plain", "html")]
    assert all(body is not None and not steers(body.get_content()) for body in bodies)
    assert bodies[1] is not None
    assert Tags(bodies[1].get_content()).found == html.found
