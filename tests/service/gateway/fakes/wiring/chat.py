"""Turns: of our own chat, and of clients of OpenAI's."""

from typing import cast

from services.gateway.chat.approving import Approving
from services.gateway.chat.memory import Memory
from services.gateway.chat.routes import Chat
from services.gateway.chat.running import RunningChat
from services.gateway.chat.session_tags import SessionTags
from services.gateway.tools.toolkit import Toolkit
from services.gateway.turns.here.recent import RecentSessions
from services.gateway.turns.running import RunningTurns
from services.gateway.turns.starting import TurnStarter
from services.gateway.turns.weight import turn_room
from services.gateway.v1.answers import Answers
from services.gateway.v1.kept_responses import KeptResponses
from services.gateway.v1.models import ListedModels
from services.gateway.v1.past.joining import Joining
from services.gateway.v1.past.previous import PreviousTurns
from services.gateway.v1.past.response_readings import ResponseReadings
from services.gateway.v1.turns import V1Turns
from tests.service.gateway.fakes.conversations.chat import FakeApproving, FakeMemory
from tests.service.gateway.fakes.turns import FakeTurns
from tests.service.gateway.fakes.v1 import FakeJoining, FakePrevious, FakeResponses
from tests.service.gateway.fakes.wiring.parts import Parts


def chat(parts: Parts, toolkit: Toolkit) -> tuple[object, ...]:
    world, settings, room, recent = parts.world, parts.settings, turn_room(parts.settings), RecentSessions()
    starter, memory = cast(TurnStarter, FakeTurns(world)), cast(Memory, FakeMemory(world))
    session_tags, responses = SessionTags(recent, parts.tags), cast(ResponseReadings, FakeResponses(world))
    v1_turns = V1Turns(
        settings,
        starter,
        parts.store,
        memory,
        joining=cast(Joining, FakeJoining()),
        previous=cast(PreviousTurns, FakePrevious(world)),
        responses=responses,
        room=room,
        recent=recent,
    )
    return (
        Chat(
            settings,
            starter,
            memory,
            session_tags,
            throttle=parts.throttle,
            room=room,
            models=parts.allowed,
            catalog=parts.catalog,
            helpers=parts.helpers,
            recent=recent,
            toolkit=toolkit,
            approving=cast(Approving, FakeApproving(parts.own)),
        ),
        Answers(
            settings,
            v1_turns,
            session_tags,
            throttle=parts.throttle,
            models=parts.allowed,
            catalog=parts.catalog,
        ),
        KeptResponses(responses, parts.store, cast(RunningTurns, FakeTurns(world))),
        ListedModels(parts.catalog, parts.allowed, 0.0),
        RunningChat(parts.own, parts.store, cast(RunningTurns, FakeTurns(world)), parts.throttle, room),
        parts.helpers,
    )
