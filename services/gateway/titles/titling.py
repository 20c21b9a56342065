"""Have a model title sessions, once each, after their first complete answer.

Nobody waits for it: a session has the title that the logger makes of its first question, and where the model fails, or
this gateway ends first, it keeps that one. No turn pays for it but with a look into a set.
"""

import asyncio
from collections import OrderedDict
from contextlib import aclosing
from typing import Protocol

import structlog
from prometheus_client import Counter

from services.gateway.model.asking.upstreams import Upstreams
from services.gateway.model.chunks import Usage
from services.gateway.model.configured.catalog import ConfiguredModel
from services.gateway.model.ending import STOP, reason_of
from services.gateway.model.measuring.inference_span import inference_span
from services.gateway.model.reading.surrogates import storable
from services.gateway.model.reading.usage import newest
from services.gateway.titles.asking import Beginning, parameters
from services.gateway.titles.cleaning import title_of_answer
from services.gateway.turns.turn import Turn
from shared.database import DATABASE_ERRORS
from shared.errors import BrokerAway, ModelAway
from shared.publishing.publisher import Publisher
from shared.settings import Settings

MOST_WAITING = 500  # sessions, of a few kB each; of those beyond, the title stays that of the first question
MOST_KNOWN = 10_000  # sessions that are not looked up again
MOST_ANSWERED = 4000  # characters of an answer; nobody reads on for a title

TITLES = Counter(
    "tripthread_titles_total", "Sessions for which a model's title was wanted, by what came of it", ["outcome"]
)
TOKENS = Counter(
    "tripthread_title_tokens_total", "Tokens of these calls, as the model's service reports them", ["kind"]
)

log = structlog.get_logger(__name__)


class Wanting(Protocol):
    async def wants_title(self, beginning: Beginning) -> bool:
        """Tell whether a session is to be titled by a model."""


class Titling:
    """The worker that asks; `ended` tells it of turns."""

    def __init__(
        self, settings: Settings, model: ConfiguredModel, upstreams: Upstreams, queries: Wanting, publisher: Publisher
    ) -> None:
        self._model = model
        self._parameters = parameters(model)
        self._patience_s = settings.title_s
        self._at_once = settings.titles_at_once
        self._upstreams = upstreams
        self._queries = queries
        self._publisher = publisher
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._waiting: asyncio.Queue[Beginning] = asyncio.Queue(MOST_WAITING)
        self._stopping = asyncio.Event()

    def ended(self, turn: Turn) -> None:
        """Hear of the end of a turn that ran here; of each session only the first complete answer counts."""
        if turn.state != "complete" or turn.answer is None or not turn.answer.content:
            return
        key = turn.user_id, turn.session_id
        if key in self._known:
            return
        if self._waiting.full():
            TITLES.labels("dropped").inc()
            return
        self._waiting.put_nowait(Beginning.of(turn))
        self._known[key] = None
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)

    async def run(self) -> None:
        """Title sessions, a few at once, until `shut_down`; what is under way then comes to nothing."""
        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(self._work()) for _ in range(self._at_once)]
            await self._stopping.wait()
            for worker in workers:
                worker.cancel()

    def shut_down(self) -> None:
        self._stopping.set()

    def fault(self) -> str | None:
        """Say nothing: without it sessions have a title, too."""

    def __str__(self) -> str:
        return "titles"

    async def _work(self) -> None:
        while True:
            outcome = await self._outcome(await self._waiting.get())
            if outcome is not None:
                TITLES.labels(outcome).inc()

    async def _outcome(self, beginning: Beginning) -> str | None:
        """Title a session; return what came of it, None where it wants no title of a model's."""
        try:
            return await self._title(beginning)
        except TimeoutError:
            return "late"
        except (ModelAway, BrokerAway, *DATABASE_ERRORS) as error:  # not its text, which may repeat what was said
            log.warning("session not titled", error=type(error).__name__, session_id=beginning.session_id)
        except Exception:  # the boundary: one session's trouble is not the next one's
            log.exception("session not titled", session_id=beginning.session_id)
        return "failed"

    async def _title(self, beginning: Beginning) -> str | None:
        if not await self._queries.wants_title(beginning):
            return None
        async with asyncio.timeout(self._patience_s):
            title = await self._ask(beginning)
        if title is None:
            return "unusable"
        await self._publisher.publish(beginning.titled(title))
        return "titled"

    async def _ask(self, beginning: Beginning) -> str | None:
        """Ask the model; None where what it answers is no title.

        Raises:
            ModelAway: It can't be asked, refuses, or breaks off.
        """
        model, usage = self._model, None
        call = self._upstreams.call(model.name, beginning.messages(), beginning.thread_id, configured=self._parameters)
        text, ending, is_odd = "", None, False
        with inference_span(model=model.name, provider=model.provider, session_id=beginning.session_id):
            async with aclosing(call.chunks()) as chunks:
                async for chunk in chunks:
                    usage = newest(usage, chunk.usage)
                    text += chunk.text
                    ending = chunk.finish_reason or ending or (STOP if chunk.is_done else None)
                    is_odd = is_odd or chunk.is_refusal or chunk.calls_tool
                    if len(text) > MOST_ANSWERED:
                        break
        _count(usage)
        if is_odd or ending is None or reason_of(ending) != STOP:
            return None
        return title_of_answer(storable(text))


def _count(usage: Usage | None) -> None:
    if usage is not None:
        TOKENS.labels("input").inc(usage.prompt_tokens or 0)
        TOKENS.labels("output").inc(usage.completion_tokens or 0)
