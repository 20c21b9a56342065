"""The demo's script: a conversation that comes to a trip by its user's consent, three RFQs, quotes and a proposal."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from deploy.demo.errors import DemoError
from deploy.demo.rows import Trip, rows_below, trip_line
from deploy.demo.stack import Client, Stack, open_http, until
from deploy.demo.tables import as_text, read_tables
from deploy.demo.watch import Watch, watching
from shared.ids import spell_number

MODEL = "sandbox-small"
TURNS = (
    "Hello, I need a jet for a client.",
    "From KTEB to KPBI.",
    "On {day} for 6 passengers, please.",
)
HELPER = "charter"  # whose model may call tools: what they do, the model has done
ABOUT_QUOTES = "What have the operators quoted?"
ABOUT_PROPOSAL = "Prepare a proposal from that, at a margin of 7.5 %."
FLIES_IN = timedelta(days=30)  # after the demo: a day that is past is refused

__all__ = ["DemoError", "play"]


async def play(stack: Stack) -> None:
    """Play the demo, printing each step as it happens.

    Raises:
        DemoError: A step did not come about.
    """
    user = f"demo-{uuid4().hex[:8]}"
    async with open_http() as http, watching(stack.amqp_url) as watch:
        demo = Demo(
            user=user,
            broker=Client(http, stack.url, stack.token_for(user)),
            avinode=Client(http, stack.avinode_url),
            watch=watch,
        )
        await demo.show_model()
        session_id = await demo.talk()
        await demo.show_tag(session_id)
        await demo.arrange_trip(session_id)
    heading(f"What is in the tables now, for {user}")
    for name, rows in (await read_tables(stack.database_url, user)).items():
        print(as_text(name, rows), end="\n\n")
    print(f"To read it over HTTP: {stack.url}/api/trips, with the token of ./run tripthread token --user {user}")


class Demo:
    """One play: who takes part, and what each step does and shows."""

    def __init__(self, *, user: str, broker: Client, avinode: Client, watch: Watch) -> None:
        self._user = user
        self._broker = broker
        self._avinode = avinode
        self._watch = watch
        self._day = (datetime.now(UTC) + FLIES_IN).date().isoformat()
        self._shown: set[str] = set()  # lines of rows below the trip
        self._messages = 0  # that are stored by now
        self._approval: str | None = None  # that the model's order waits for

    async def show_model(self) -> None:
        heading("The gateway has registered its models at its start: their sessions are tagged")
        await until(self._is_tracked, bool, f"{MODEL} to be tracked")
        row("tagging.models", f"{MODEL}  tracked")

    async def _is_tracked(self) -> bool:
        cursor = ""
        while cursor is not None:  # page by page: a real service, used here before, may have had hundreds
            page = await self._broker.call("GET", f"/api/models?limit=100{cursor and f'&cursor={cursor}'}")
            if any(model["name"] == MODEL and model["tracked"] for model in page["models"]):
                return True
            cursor = page["next_cursor"]
        return False

    async def talk(self) -> str:
        """Hold the conversation as a browser with `useChat` would; return the session's id."""
        session_id = f"demo-{uuid4().hex[:8]}"
        for number, text in enumerate((turn.format(day=self._day) for turn in TURNS), start=1):
            heading(f"Turn {number}: POST /api/chat, streamed")
            tagged = ["SessionTagged"] if number == 1 else []  # once for the session
            self._approval = await self._say(session_id, text, *tagged)
        if self._approval is None:
            raise DemoError("the model did not order the trip")
        return session_id

    async def _say(self, session_id: str, text: str, *events: str) -> str | None:
        """Say something, and show what is answered and where it is kept; return the approval that is asked for."""
        print(f"  {self._user}: {text}")
        message = {"id": f"m{self._messages}", "role": "user", "parts": [{"type": "text", "text": text}]}
        body = {"id": session_id, "messages": [message], "helper": HELPER}
        approval = await self._show_answer("/api/chat", body)
        self._messages += 2
        stored = await self._all_stored(session_id, self._messages)
        await self._happened("MessagePosted", "MessageAnswered", "Stored", "Stored", *events)
        for said in stored[-2:]:
            row("chat.messages", f"{said['role']:<9}  {said['id']}  {said['status']}")
        return approval

    async def _show_answer(self, path: str, body: Any) -> str | None:
        """Print an answer as it comes; return the approval that it ends with."""
        approval, begins = None, f"  {MODEL}: "
        async for part in self._broker.stream(path, body):
            if part["type"] == "error":
                raise DemoError(f"the answer broke off: {part['errorText']}")
            if part["type"] == "tool-approval-request":
                approval = part["approvalId"]
            if shown := part.get("delta") or tool_line(part):
                print(begins + shown, end="", flush=True)
                begins = "" if "delta" in part else f"\n  {MODEL}: "
        print()
        return approval

    async def show_tag(self, session_id: str) -> None:
        heading("The session's tag, counted per user and model")
        tag = await until(
            lambda: self._broker.call("GET", f"/api/chat/sessions/{session_id}/tag"), bool, "the session's tag"
        )
        row("tagging.session_tags", f"{tag['session_tag']}  [{tag['model_name']} #{spell_number(tag['counter'])}]")

    async def arrange_trip(self, session_id: str) -> None:
        """Have a trip made at Avinode, play its operators, and watch the steps."""
        heading(
            "The user agrees to the order: POST .../approvals/{id}; the answer goes on, the trip is made at Avinode"
        )
        await self._show_answer(f"/api/chat/{session_id}/approvals/{self._approval}", {"approved": True})
        ordered = await self._broker.call("GET", f"/api/trips?session_id={session_id}")
        trip_id = ordered["trips"][0]["id"]
        # Told when the request is stored, and when Avinode has the trip.
        news = ["TripRequested", "TripAdvanced", "TripAdvanced", "MessageAnswered"]
        trip = await self._advanced(trip_id, lambda trip: trip["avinode_trip_id"], *news)
        row("deep link", trip["deep_link"])

        heading("Three operators are asked (played by the simulator); Avinode tells us by webhook")
        sent = await self._avinode.call("POST", f"/sim/trips/{trip['avinode_trip_id']}/rfqs", {"operators": 3})
        first, second, _ = (rfq["id"] for rfq in sent["rfqs"])
        # Told of each RFQ, and of Avinode's own estimate of its price.
        news = 3 * ["WebhookReceived", "TripAdvanced", "TripAdvanced"]
        await self._advanced(trip_id, lambda trip: len(trip["quotes"]) == 3, *news)
        await self._answer_as_operators(session_id, trip_id, first, second)

    async def _answer_as_operators(self, session_id: str, trip_id: str, first: str, second: str) -> None:
        """Have one RFQ quoted, another declined, and the quote revised."""
        told = ("WebhookReceived", "TripAdvanced", "MessagePosted", "Stored")
        heading("The first one quotes; the chat is told of it")
        await self._avinode.call("POST", f"/sim/rfqs/{first}/quote", {"price": 33500, "currency": "USD"})
        await self._advanced(trip_id, lambda trip: trip["quotes_received_count"] == 1, *told)
        await self._show_note(session_id)

        heading("The second one declines")
        await self._avinode.call("POST", f"/sim/rfqs/{second}/decline", {"reason": "AIRCRAFT_NOT_AVAILABLE"})
        await self._advanced(
            trip_id, lambda trip: trip["quotes_expected_count"] == 2, "WebhookReceived", "TripAdvanced"
        )

        heading("The first one revises its quote; the chat is told of it")
        await self._avinode.call("POST", f"/sim/rfqs/{first}/quote", {"price": 31900, "currency": "USD"})
        trip = await self._advanced(trip_id, lambda trip: len(trip["quotes"]) == 5, *told)
        await self._show_note(session_id)
        heading("The user asks the model, which looks by a tool")
        await self._say(session_id, ABOUT_QUOTES)
        await self._propose(session_id, trip)

    async def _propose(self, session_id: str, trip: Trip) -> None:
        """Have a proposal prepared from the quote that stands, and send it by hand: the trip is completed."""
        heading("The model prepares a proposal from the quote that stands, by a tool")
        await self._say(session_id, ABOUT_PROPOSAL, "ProposalPrepared", "TripAdvanced")
        proposed = await self._advanced(trip["id"], lambda trip: trip["proposal_id"])
        proposal_id = proposed["proposal_id"]
        proposal = await self._broker.call("GET", f"/api/proposals/{proposal_id}")
        for option in proposal["options"]:
            price = f"{option['client_price_cents'] / 100:,.2f} {proposal['currency']}"
            row("workflow.proposals", f"{proposal['state']}  {option['aircraft_type']}  {price}")

        heading("It is sent by hand, which completes the trip; the chat is told of it")
        await self._broker.call("POST", f"/api/proposals/{proposal_id}/send", {})
        told = ("ProposalSent", "TripAdvanced", "MessagePosted", "Stored")
        await self._advanced(trip["id"], lambda trip: trip["status"] == "completed", *told)
        await self._show_note(session_id)
        print(f"    to read: /api/proposals/{proposal_id}?format=html, md or pdf")

    async def _advanced(self, trip_id: str, is_so: Callable[[Trip], object], *events: str) -> Trip:
        """Wait until the trip is so and these went over the broker, and show it and what is new below it."""
        trip: Trip = await until(
            lambda: self._broker.call("GET", f"/api/trips/{trip_id}"),
            lambda trip: trip is not None and bool(is_so(trip)),
            f"what should follow in trip {trip_id}",
        )
        await self._happened(*events)
        row("workflow.trips", trip_line(trip))
        for table, line in rows_below(trip):
            if line not in self._shown:
                self._shown.add(line)
                row(table, line)
        return trip

    async def _show_note(self, session_id: str) -> None:
        """Show what the chat is told next."""
        self._messages += 1
        notes = await self._all_stored(session_id, self._messages)
        row("chat.messages", f"system     {notes[-1]['content']}")

    async def _all_stored(self, session_id: str, count: int) -> list[dict[str, Any]]:
        return await until(
            lambda: self._stored(session_id), lambda found: len(found) == count, f"{count} stored messages"
        )

    async def _stored(self, session_id: str) -> list[dict[str, Any]]:
        found = await self._broker.call("GET", f"/api/chat/sessions/{session_id}/messages?limit=100")
        return [message for message in found["messages"] if message["stored"]]

    async def _happened(self, *names: str) -> None:
        """Show what went over the broker, once each of these has."""
        try:
            await self._watch.until(*names)
        except TimeoutError:
            raise DemoError(f"no {', '.join(names)} within 20 s; seen: {sorted(self._watch.seen)}") from None
        for line in self._watch.take():
            print(f"    {line}")


def tool_line(part: dict[str, Any]) -> str:
    """Say what a part tells of a tool; nothing where it tells of something else."""
    if part["type"] == "tool-input-available":
        return f"calls {part['toolName']} {json.dumps(part['input'])}"
    if part["type"] == "tool-approval-request":
        return "waits for the user's consent"
    outcomes = {
        "tool-output-available": "has the tool's answer",
        "tool-output-error": f"hears: {part.get('errorText')}",
    }
    return outcomes.get(part["type"], "")


def heading(text: str) -> None:
    print(f"\n== {text}")


def row(table: str, text: str) -> None:
    print(f"    row      {table:<20} == {text}")
