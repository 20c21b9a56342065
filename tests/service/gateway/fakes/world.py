"""The API on a world that is kept in dictionaries, and clients that call it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2
from fastapi import FastAPI

from services.gateway.api import create_api
from shared.process.condition import Condition
from shared.settings import Settings
from tests.service.gateway.fakes.stored import Stored
from tests.service.gateway.fakes.wiring.account import account
from tests.service.gateway.fakes.wiring.admin import admin
from tests.service.gateway.fakes.wiring.chat import chat
from tests.service.gateway.fakes.wiring.models import models
from tests.service.gateway.fakes.wiring.parts import Parts
from tests.service.gateway.fakes.wiring.sessions import sessions
from tests.service.gateway.fakes.wiring.trips import trips
from tests.tokens import token_for

BASE_URL = "http://gateway.test"


@dataclass
class World(Stored):
    """What the services have stored, and the API on it."""

    _app: FastAPI | None = None

    def api(self) -> FastAPI:
        """Make the API on this world, again where its settings are others."""
        if self._app is None or self._app.state.handed[Settings] is not self.settings:
            parts = Parts(self)
            ordering, trip_subjects = trips(parts)
            subjects = (
                *account(parts),
                *chat(parts, ordering),
                *sessions(parts),
                *trip_subjects,
                *models(parts),
                *admin(parts),
            )
            self._app = create_api(self.settings, subjects, self._condition)
        return self._app

    async def _condition(self) -> Condition:
        return Condition(self.faults, self.degraded)

    @asynccontextmanager
    async def client(self, user: str | None = None, role: str = "user") -> AsyncIterator[httpx2.AsyncClient]:
        """Call as this user; without one, as somebody without credentials."""
        async with self.client_of(self.api()) as client:
            if user is not None:
                client.headers["Authorization"] = f"Bearer {token_for(self.settings, user, role=role)}"
            yield client

    @asynccontextmanager
    async def client_of(self, app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=BASE_URL) as client:
            yield client
