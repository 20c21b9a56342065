"""How users fare while a gateway of 512 MB is attacked: no restart, no 5xx, and the first piece nearly as soon."""

import argparse
import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

import aiohttp

from deploy.supervisor.machine.child import Child
from deploy.supervisor.machine.ports import free_port
from shared.settings import Settings
from tests.bench.running.servers import is_ready, private_servers, process
from tests.much import say_much
from tests.servers import looking
from tests.simulated import simulated
from tests.tokens import token_for
from tests.waiting import until

ATTACKS = ("bodies", "heads", "connections", "idle", "reads", "questions")
USERS = 50
EVERY_S = 5.0
AIM = 2.0
QUESTION = {"message": "[chunks 20] [echo I have asked three operators, and the first of them offers a jet.]"}


@dataclass
class Fared:
    """What became of the users' turns."""

    first_piece_ms: list[float] = field(default_factory=list)
    server_errors: int = 0
    others: list[str] = field(default_factory=list)  # what else went wrong

    @property
    def p95_ms(self) -> float:
        return quantiles(self.first_piece_ms, n=20)[-1]


async def run(options: argparse.Namespace) -> None:
    """Print a line for each attack; quiet and attacked stretches take turns."""
    with private_servers() as settings:
        async with simulated(settings) as outside, looking(settings.database_url) as owner:
            await say_much(owner, "mallory")
            for attack in [options.attack] if options.attack else ATTACKS:
                await _measure(outside.settings, attack, options)


async def _measure(settings: Settings, attack: str, options: argparse.Namespace) -> None:
    held = settings.model_copy(update={"internal_port": free_port(), "instance": f"held-{attack}"})
    stored = settings.model_copy(update={"internal_port": free_port(), "instance": "logger"})
    url = f"http://{held.http_host}:{held.http_port}"
    quiet, attacked = Fared(), Fared()
    ratios: list[float] = []
    seconds = max(options.seconds, 2 * EVERY_S)
    with ExitStack() as stack:
        stack.enter_context(process(["deploy.cli", "serve", "logger"], stored))
        gateway = stack.enter_context(process(["tests.bench.running.held"], held))
        await until(lambda: is_ready(held), "the gateway to be ready")
        await _speak(url, held, EVERY_S)  # what is slow once
        for _ in range(options.rounds):
            before = await _speak(url, held, seconds)
            with _attacked(attack, url, held):
                during = await _speak(url, held, seconds)
            ratios.append(during.p95_ms / before.p95_ms)
            _add(quiet, before)
            _add(attacked, during)
        line = {
            "bench": "hostile",
            "case": attack,
            "name": f"p95 of the first piece of {USERS} users, under attack / without",
            "ratio": round(median(ratios), 3),
            "aim": AIM,
            "reached": median(ratios) <= AIM,
            "unit": "ms",
            "attacked": round(attacked.p95_ms, 1),
            "quiet": round(quiet.p95_ms, 1),
            "turns": len(attacked.first_piece_ms),
            "server_errors": attacked.server_errors,
            "other_errors": attacked.others[:3],
            "restarts": 0 if gateway.running else 1,
            "most_mib": round(_most_mib(gateway)),
        }
        print(json.dumps(line), flush=True)


def _add(all_of_it: Fared, stretch: Fared) -> None:
    all_of_it.first_piece_ms += stretch.first_piece_ms
    all_of_it.server_errors += stretch.server_errors
    all_of_it.others += stretch.others


@contextmanager
def _attacked(attack: str, url: str, settings: Settings) -> Iterator[None]:
    token = token_for(settings, "mallory")
    with process(["tests.bench.workload.attack", attack, url, token], settings):
        yield


class Users:
    """Fifty people, each of whom says something every few seconds, in one stretch of time."""

    def __init__(self, http: aiohttp.ClientSession, url: str, settings: Settings) -> None:
        self._http = http
        self._url = url
        self._settings = settings
        self._fared = Fared()

    async def speak(self, seconds: float) -> Fared:
        began = time.monotonic()
        async with asyncio.TaskGroup() as speaking:
            for number in range(USERS):
                start = began + EVERY_S * number / USERS
                speaking.create_task(self._converse(f"user-{number}", start, began + seconds))
        return self._fared

    async def _converse(self, user: str, start: float, end: float) -> None:
        headers = {"Authorization": f"Bearer {token_for(self._settings, user)}"}
        while start < end:
            await asyncio.sleep(max(0.0, start - time.monotonic()))
            try:
                await self._ask(headers)
            except (aiohttp.ClientError, OSError) as error:
                self._fared.others.append(type(error).__name__)
            start = max(start + EVERY_S, time.monotonic())

    async def _ask(self, headers: dict[str, str]) -> None:
        began = time.monotonic()
        async with self._http.post(f"{self._url}/api/chat", headers=headers, json=QUESTION) as answer:
            if answer.status != 200:
                self._fared.server_errors += answer.status >= 500
                self._fared.others.append(f"{answer.status}: {(await answer.text())[:200]}")
                return
            async for line in answer.content:
                if b'"text-delta"' in line:
                    self._fared.first_piece_ms.append((time.monotonic() - began) * 1000)
                    break
            if b'"finish"' not in await answer.read():
                self._fared.others.append("an answer without an end")


async def _speak(url: str, settings: Settings, seconds: float) -> Fared:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        return await Users(http, url, settings).speak(seconds)


def _most_mib(child: Child) -> float:
    if not child.running:
        return 0.0
    status = Path(f"/proc/{child.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 1024
