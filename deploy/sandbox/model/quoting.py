"""What the assistant does about quotes and proposals, if it is offered the tools: look, say what there is, prepare."""

import json
import re
from typing import Any

from deploy.sandbox.model.directives import CallTool, Say
from deploy.sandbox.model.requests import ChatRequest, Message

LIST, PREPARE = "list_quotes", "prepare_proposal"

_PROPOSAL = re.compile(r"\bproposals?\b", re.IGNORECASE)
_QUOTES = re.compile(r"\bquote[sd]?\b", re.IGNORECASE)
_MARGIN = re.compile(r"(\d{1,2}(?:\.\d+)?)\s*%")
_NOBODY = "No operator has quoted yet."


def quoting_step(asked: ChatRequest, said: str) -> Say | CallTool | None:
    """Return what follows where the user's last words are about quotes; None where they are about something else."""
    offered = {tool.function.name for tool in asked.tools or [] if tool.function}
    if asked.tool_choice == "none" or LIST not in offered:
        return None
    results = _results_since(asked.messages)
    if results and not results.keys() & {LIST, PREPARE}:
        return None  # it is told of something else first
    if _PROPOSAL.search(said) and PREPARE in offered:
        return _proposing(results, said)
    if not _QUOTES.search(said):
        return None
    return Say(_listed(results[LIST])) if LIST in results else CallTool(LIST, json.dumps({"trip": None}))


def _proposing(results: dict[str, Any], said: str) -> Say | CallTool:
    if PREPARE in results:
        return Say(_proposed(results[PREPARE]))
    if LIST not in results:
        return CallTool(LIST, json.dumps({"trip": None}))
    quotes = [quote["quote_id"] for quote in _offers(results[LIST])]
    if not quotes:
        return Say(_NOBODY)
    margin = _MARGIN.search(said)
    order = {"trip": None, "quote_ids": quotes, "margin_percent": float(margin[1]) if margin else None, "note": None}
    return CallTool(PREPARE, json.dumps(order))


def _results_since(messages: list[Message]) -> dict[str, Any]:
    """Return what tools have answered since the user spoke, by the tool's name: JSON, else the text."""
    last = max((i for i, message in enumerate(messages) if message.role == "user"), default=-1)
    since = messages[last + 1 :]
    names = {call.id: call.function.name for message in since for call in message.tool_calls or []}
    return {
        names[message.tool_call_id]: value_of(message.text)
        for message in since
        if message.role == "tool" and message.tool_call_id in names
    }


def value_of(text: str) -> Any:
    """Read a result, which may stand below a sentence about it."""
    try:
        return json.loads(text.rpartition("\n")[2])
    except ValueError:
        return text


def _offers(result: Any) -> list[dict[str, Any]]:
    """Return the quotes that operators stand to."""
    quotes = result.get("quotes", []) if isinstance(result, dict) else []
    return [quote for quote in quotes if not quote.get("is_estimate")]


def _listed(result: Any) -> str:
    if not isinstance(result, dict):
        return f"I cannot look: {result}"
    offers = [
        f"{each['operator']} with a {each['aircraft']} for {each['price']} {each['currency']}"
        for each in _offers(result)
    ]
    return f"Quoted so far: {'; '.join(offers)}." if offers else _NOBODY


def _proposed(result: Any) -> str:
    if not isinstance(result, dict):
        return f"I cannot prepare it: {result}"
    prices = ", ".join(option["client_price"] for option in result["options"])
    return f"The proposal is prepared, for {prices}. Nothing is sent yet."
