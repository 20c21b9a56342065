"""Turns: of our own chat, and of clients of OpenAI's."""

import time

from services.gateway.chat.approving import Approving
from services.gateway.chat.memory import Memory
from services.gateway.chat.routes import Chat
from services.gateway.chat.running import RunningChat
from services.gateway.chat.session_tags import SessionTags
from services.gateway.tools.toolkit import Toolkit
from services.gateway.turns.starting import TurnStarter
from services.gateway.v1.answers import Answers
from services.gateway.v1.kept_responses import KeptResponses
from services.gateway.v1.models import ListedModels
from services.gateway.v1.past.joining import Joining
from services.gateway.v1.past.previous import PreviousTurns
from services.gateway.v1.past.response_readings import ResponseReadings
from services.gateway.v1.turns import V1Turns
from services.gateway.wiring.parts import Parts


def chat(parts: Parts, toolkit: Toolkit) -> tuple[object, ...]:
    settings, pools, runner = parts.settings, parts.pools, parts.runner
    starter = TurnStarter(parts.store, runner, parts.running, parts.counting.quota_of)
    memory = Memory(pools.reader, parts.turns, settings.context_bytes)
    session_tags = SessionTags(runner.recent, parts.tags)
    responses = ResponseReadings(pools.own, pools.reader, parts.store)
    approving = Approving(
        settings.reachable_at,
        parts.own,
        parts.store,
        parts.waiting,
        runner=runner,
        running=parts.running,
        memory=memory,
        helpers=parts.helpers,
        toolkit=toolkit,
    )
    v1_turns = V1Turns(
        settings,
        starter,
        parts.store,
        memory,
        joining=Joining(runner.recent, pools.own, pools.reader),
        previous=PreviousTurns(pools.own, pools.reader, parts.turns, parts.room),
        responses=responses,
        room=runner.room,
        recent=runner.recent,
    )
    return (
        Chat(
            settings,
            starter,
            memory,
            session_tags,
            throttle=parts.throttle,
            room=runner.room,
            models=parts.allowed,
            catalog=parts.catalog,
            helpers=parts.helpers,
            recent=runner.recent,
            toolkit=toolkit,
            approving=approving,
        ),
        Answers(
            settings,
            v1_turns,
            session_tags,
            throttle=parts.throttle,
            models=parts.allowed,
            catalog=parts.catalog,
        ),
        KeptResponses(responses, parts.store, parts.running),
        ListedModels(parts.catalog, parts.allowed, time.time()),
        RunningChat(parts.own, parts.store, parts.running, parts.throttle, runner.room),
        parts.helpers,
    )
