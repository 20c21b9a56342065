"""The pages of the plans that Tripthread began with, against a running gateway: they are in `tests/clients/plans`."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from services.gateway.account.visitors.cookies import VISITOR_COOKIE, VisitorToken, new_visitor
from shared.settings import Settings
from tests.connected.gateway.stage import own_database
from tests.installed.node import CLIENTS, NODE, run
from tests.processes import ROOT, running
from tests.servers import Servers, looking
from tests.simulated import simulated
from tests.tokens import token_for

LONG = "long"
MESSAGES = 5_002  # of the long session; a list of them has 5,000 at most
SESSIONS = 1_003  # of whoever has it; a list of them has 1,000 at most


@dataclass
class Site:
    settings: Settings

    def environment(self, **more: str) -> dict[str, str]:
        address = f"http://127.0.0.1:{self.settings.http_port}"
        return {"GATEWAY": address, "LONG": LONG, "MESSAGES": str(MESSAGES), **more}

    async def live(self, user_id: str, sessions: int, messages: int) -> None:
        """Write what somebody has said over the years, in many sessions and the newest of them a long one."""
        async with looking(self.settings.database_url) as owner:
            await owner.execute(
                """
                INSERT INTO chat.sessions (user_id, session_id, created_at, last_activity_at, last_message_at,
                    message_count)
                SELECT $1, CASE at WHEN 1 THEN $2 ELSE 'old-' || at END, moment, moment, moment, 0
                FROM generate_series(1, $3::int) AS at
                CROSS JOIN LATERAL (SELECT now() - make_interval(days => 1, mins => at) AS moment) AS its
                """,
                user_id,
                LONG,
                sessions,
            )
            await owner.execute(
                """
                INSERT INTO chat.messages (user_id, session_id, message_id, role, content, event_id, created_at)
                SELECT $1, $2, 'm' || at, CASE at % 2 WHEN 1 THEN 'user' ELSE 'assistant' END, 'text ' || at,
                    gen_random_uuid(), now() - interval '2 days' + make_interval(secs => at)
                FROM generate_series(1, $3::int) AS at
                """,
                user_id,
                LONG,
                messages,
            )


@pytest.fixture(scope="module")
async def site(servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with (
        own_database(servers, template) as settings,
        simulated(settings) as outside,
        running(outside.settings, tmp_path_factory.mktemp("logs"), "gateway", "logger"),
    ):
        yield Site(outside.settings)


@pytest.fixture
def visitor(site: Site) -> VisitorToken:
    return new_visitor(site.settings)


async def walk(plan: str, environment: dict[str, str]) -> None:
    await asyncio.to_thread(run, *NODE, "--test", plan, cwd=CLIENTS / "plans", env=environment)


def checklist() -> list[str]:
    section = (ROOT / "docs/history.md").read_text().partition("\n## Testing checklist\n")[2].partition("\n## ")[0]
    return re.findall(r"^- \[ \] (.*)$", section, flags=re.MULTILINE)


@pytest.mark.parametrize("known_by", ["token", "cookie"])
async def test_the_snippets_of_helpers_and_history_pass_its_checklist(
    known_by: str, site: Site, visitor: VisitorToken
) -> None:
    """By a token from anywhere, or as a page of the gateway's own origin: neither says that its bodies are JSON."""
    user = "ann" if known_by == "token" else visitor.visitor_id
    await site.live(user, 1, 4_500)
    shown = {"TOKEN": token_for(site.settings, user)} if known_by == "token" else {"COOKIE": cookie(visitor)}
    others = {"OTHER": token_for(site.settings, "ben"), "CHECKLIST": json.dumps(checklist())}
    await walk("history.ts", site.environment(**shown, **others) | {"MESSAGES": "4500"})


async def test_the_calls_of_model_sessions_have_everything_at_once(site: Site, visitor: VisitorToken) -> None:
    await site.live(visitor.visitor_id, SESSIONS, MESSAGES)
    known = {"VISITOR": visitor.visitor_id, "TOKEN": visitor.value, "SESSIONS": str(SESSIONS)}
    await walk("models.ts", site.environment(**known))


async def test_the_calls_of_cookie_logging_are_kept_in_the_browsers_session(site: Site, visitor: VisitorToken) -> None:
    await site.live(visitor.visitor_id, 1, 1_200)
    await walk("cookies.ts", site.environment(COOKIE=cookie(visitor)) | {"MESSAGES": "1200"})


async def test_the_quick_start_of_the_guide_works_as_it_stands(site: Site) -> None:
    guide = re.findall(r"^```js\n(.*?)^```", (ROOT / "docs/history.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    tokens = {"TOKEN": token_for(site.settings, "cleo"), "BOB": token_for(site.settings, "bob")}
    await walk("guide.ts", site.environment(**tokens, GUIDE=json.dumps(guide)))


def cookie(visitor: VisitorToken) -> str:
    return f"{VISITOR_COOKIE}={visitor.value}"
