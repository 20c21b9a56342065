"""Spell a response as it comes, event by event, in the order that OpenAI's clients count on. Pure.

Text begins an item where no text came before, or thoughts did; thoughts likewise. So the items are those as which the
answer is kept. A call's item ends with the answer: pieces of several calls may come by turns.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

from services.gateway.model.chunks import CallPiece, Chunk
from services.gateway.model.reading.surrogates import storable
from services.gateway.v1.told.response_shape import call_item, call_name, item_id, text_item, text_part

TEXT, REASONING, REFUSAL = "output_text", "reasoning_text", "refusal"  # what is told of a text, by its events' names


@dataclass
class _Item:
    """One that has begun."""

    index: int
    name: str
    kind: str
    word: str = TEXT  # of its events
    pieces: list[str] = field(default_factory=list)
    call: tuple[str, str] = ("", "")  # id, name of the tool

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def place(self) -> dict[str, Any]:
        return {"item_id": self.name, "output_index": self.index}


class ResponseEvents:
    """The events of one stream."""

    def __init__(self, response: Mapping[str, Any], turn_id: UUID) -> None:
        """Begin a stream of this response, of which nothing has come yet."""
        self._response = response
        self._turn_id = turn_id
        self._number = 0
        self._items: list[_Item] = []
        self._text: _Item | None = None  # that goes on
        self._calls: dict[int, _Item] = {}  # by the number of the call
        self._unnamed: dict[int, list[str]] = {}  # arguments that came before their tool's name

    def begin(self) -> bytes:
        """Tell that it is begun."""
        states = ("response.created", "response.in_progress")
        return b"".join([self._event(state, {"response": self._response}) for state in states])

    def tell(self, chunk: Chunk) -> bytes:
        """Tell of what has come."""
        told: list[bytes] = []
        if chunk.reasoning:
            self._say(told, "reasoning", REASONING, storable(chunk.reasoning))
        if chunk.text:
            self._say(told, "text", REFUSAL if chunk.is_refusal else TEXT, storable(chunk.text))
        for piece in chunk.calls:
            self._call(told, piece)
        return b"".join(told)

    def end(self, response: Mapping[str, Any]) -> bytes:
        """Tell how it ended; its items come in the order in which they began."""
        statuses = {item["id"]: item["status"] for item in response["output"]}
        told: list[bytes] = []
        # In the order in which they began: a client that puts together what is done counts on it
        # (https://github.com/BerriAI/litellm/pull/36356).
        for item in self._items:
            if item is self._text:
                self._end_text(told, statuses.get(item.name, "incomplete"))
            elif item.kind == "call":
                self._end_call(told, item)
        places = {item.name: item.index for item in self._items}
        output = sorted(response["output"], key=lambda item: places.get(item["id"], len(places)))
        told.append(self._event(f"response.{response['status']}", {"response": {**response, "output": output}}))
        return b"".join(told)

    def _say(self, told: list[bytes], kind: str, word: str, text: str) -> None:
        item = self._text
        if item is None or item.kind != kind:
            self._end_text(told, "completed")
            item = self._text = self._begin_text(told, kind, word)
        item.pieces.append(text)
        more: dict[str, Any] = {"logprobs": []} if item.word == TEXT else {}
        place = {**item.place, "content_index": 0}
        told.append(self._event(f"response.{item.word}.delta", {**place, "delta": text, **more}))

    def _begin_text(self, told: list[bytes], kind: str, word: str) -> _Item:
        item = self._begin(kind)
        item.word = word
        shape = text_item(item.name, kind, None, "in_progress")
        told.append(self._event("response.output_item.added", {"output_index": item.index, "item": shape}))
        part = text_part(kind, "", is_refusal=word == REFUSAL)
        place = {**item.place, "content_index": 0, "part": part}
        told.append(self._event("response.content_part.added", place))
        return item

    def _end_text(self, told: list[bytes], status: str) -> None:
        item, self._text = self._text, None
        if item is None:
            return
        is_refusal, text, place = item.word == REFUSAL, item.text, {**item.place, "content_index": 0}
        said: dict[str, Any] = {"refusal": text} if is_refusal else {"text": text}
        said |= {"logprobs": []} if item.word == TEXT else {}
        part = text_part(item.kind, text, is_refusal=is_refusal)
        shape = text_item(item.name, item.kind, text, status, is_refusal=is_refusal)
        told.append(self._event(f"response.{item.word}.done", {**place, **said}))
        told.append(self._event("response.content_part.done", {**place, "part": part}))
        told.append(self._event("response.output_item.done", {"output_index": item.index, "item": shape}))

    def _call(self, told: list[bytes], piece: CallPiece) -> None:
        item = self._calls.get(piece.index)
        arguments = storable(piece.arguments)
        if item is None and not piece.name:
            self._unnamed.setdefault(piece.index, []).append(arguments)
            return
        if item is None:
            item = self._begin_call(told, piece)
            arguments = "".join(self._unnamed.pop(piece.index, [])) + arguments
        if arguments:
            item.pieces.append(arguments)
            told.append(self._event("response.function_call_arguments.delta", {**item.place, "delta": arguments}))

    def _begin_call(self, told: list[bytes], piece: CallPiece) -> _Item:
        number = len(self._calls)
        item = self._calls[piece.index] = self._begin("call", number)
        item.call = call_name(storable(piece.id or ""), number), storable(piece.name or "")
        shape = call_item(item.name, *item.call, "", status="in_progress")
        told.append(self._event("response.output_item.added", {"output_index": item.index, "item": shape}))
        return item

    def _end_call(self, told: list[bytes], item: _Item) -> None:
        arguments, named = item.text, {"name": item.call[1]}
        place = {**item.place, "arguments": arguments, **named}
        shape = call_item(item.name, *item.call, arguments, status="completed")
        told.append(self._event("response.function_call_arguments.done", place))
        told.append(self._event("response.output_item.done", {"output_index": item.index, "item": shape}))

    def _begin(self, kind: str, number: int | None = None) -> _Item:
        if number is None:
            number = sum(item.kind == kind for item in self._items)
        item = _Item(len(self._items), item_id(self._turn_id, kind, number), kind)
        self._items.append(item)
        return item

    def _event(self, name: str, said: Mapping[str, Any]) -> bytes:
        event = {"type": name, "sequence_number": self._number, **said}
        self._number += 1
        return b"event: %s\ndata: %s\n\n" % (name.encode(), orjson.dumps(event))
