"""curl, as README.md and docs/http.md show it, against a running gateway."""

import asyncio
import json
import os
import re
import shutil
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from deploy.supervisor.machine.packages import require
from deploy.supervisor.trouble import Trouble
from services.gateway.account.logins.links import login_link
from shared.settings import Settings
from tests.connected.gateway.stage import own_database
from tests.processes import ROOT, running
from tests.servers import Servers
from tests.simulated import simulated
from tests.tokens import token_for

Shell = dict[str, str]  # the environment of one that knows what the documents let it know


def scripts(file: str, heading: str) -> list[str]:
    """Return what is shown to be typed below a heading, without what makes the environment."""
    section = (ROOT / file).read_text().partition(f"\n{heading}\n")[2]
    section = re.split(rf"^#{{1,{heading.index(' ')}}} ", section, maxsplit=1, flags=re.MULTILINE)[0]
    shown = re.findall(r"^```sh\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)
    return [re.sub(r"^(\. \./\.run/env|(auth|bob)=.*)\n", "", script, flags=re.MULTILINE) for script in shown]


FIRST_CALL = scripts("README.md", "## A first call")[0]


@pytest.fixture(scope="module")
async def shell(servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shell]:
    async with shell_beside_a_gateway(servers, template, tmp_path_factory.mktemp("curl")) as opened:
        yield opened


@asynccontextmanager
async def shell_beside_a_gateway(servers: Servers, template: str, directory: Path) -> AsyncIterator[Shell]:
    """Run a gateway, a logger and a tagger, and know what the documents have one know of them."""
    _install(directory / "log")
    (directory / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\n")
    async with (
        own_database(servers, template) as settings,
        simulated(settings) as outside,
        running(outside.settings, directory, "gateway", "logger", "tagger"),
    ):
        yield _environment(outside.settings, directory)


def _install(log: Path) -> None:
    """Install curl where it is missing: no other package that is needed here brings it."""
    try:
        require("curl", ("curl",), lambda: shutil.which("curl") is not None, log=log)
    except Trouble as trouble:
        pytest.skip(str(trouble))


def _environment(gateway: Settings, curl_home: Path) -> Shell:
    return {
        **os.environ,
        "CURL_HOME": str(curl_home),
        "TRIPTHREAD_URL": f"http://127.0.0.1:{gateway.http_port}",
        **{
            name: f"authorization: Bearer {token_for(gateway, user)}"
            for name, user in (("auth", "ann"), ("bob", "bob"))
        },
        "admin": f"authorization: Bearer {token_for(gateway, 'root', role='admin')}",
        "json": "content-type: application/json",
        "link": login_link(gateway, f"http://127.0.0.1:{gateway.http_port}", "ann", "user", 600),
    }


@asynccontextmanager
async def typed(script: str, shell: Shell) -> AsyncIterator[Process]:
    """Run what somebody types, until it ends or is left; what it writes is written beside curl's settings."""
    home = shell["CURL_HOME"]
    process = await asyncio.create_subprocess_exec("sh", "-ec", script, stdout=PIPE, stderr=PIPE, env=shell, cwd=home)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def printed(script: str, shell: Shell) -> str:
    async with typed(script, shell) as process, asyncio.timeout(60):
        out, error = await process.communicate()
    assert process.returncode == 0, (out + error).decode()
    return out.decode()


async def test_the_first_call_of_the_readme_is_answered(shell: Shell) -> None:
    told = await printed(FIRST_CALL, shell)
    stream, done, rest = told.partition("data: [DONE]\n\n")
    assert done
    assert [json.loads(line[6:])["type"] for line in stream.split("\n") if line.startswith("data: ")][-1] == "finish"
    messages, openapi = (json.loads(line) for line in re.split(r"(?<=\})(?=\{\"openapi\")", rest))
    assert [message["role"] for message in messages["messages"]] == ["user", "assistant"]
    assert openapi["openapi"].startswith("3.")


async def test_what_the_guide_shows_of_the_chat_works_as_it_is_typed(shell: Shell) -> None:
    told = await printed("\n".join(scripts("docs/http.md", "## Chat")), shell)
    assert told.count("data: [DONE]") == 4
    assert '"content":"whole"' in told
    assert "as text" in told
    assert told.endswith('"status":"stopped"}')


async def test_what_the_guide_shows_of_openais_api_works_as_it_is_typed(shell: Shell) -> None:
    told = await printed("\n".join(scripts("docs/http.md", "## OpenAI's API")), shell)
    assert told.count("data: [DONE]") == 1
    assert told.count('"status":"completed"') > told.count("event: response.completed") == 1
    assert '"deleted":true' in told


async def test_what_the_guide_shows_of_sessions_works_as_it_is_typed(shell: Shell) -> None:
    said = '{"session_id": "guide", "message": {"id": "m2", "content": "Hi"}, "stream": false}'
    spoken = f"""curl $TRIPTHREAD_URL/api/chat -H "$auth" -H "$json" -d '{said}'"""
    told = await printed("\n".join([spoken, *scripts("docs/http.md", "## Sessions")]), shell)
    assert '"feedback":{"value":"up","comment":"Just so."' in told


async def test_what_the_guide_shows_of_the_older_spellings_works_as_it_is_typed(shell: Shell) -> None:
    told = await printed("\n".join(scripts("docs/http.md", "## Older spellings")), shell)
    answer, sessions, messages = (json.loads(line) for line in re.split(r"(?<=\})(?=\{)", told) if line)
    assert answer["message"]["content"] == "kept"
    (session,) = sessions["sessions"]
    assert (session["model"], session["messageCount"], session["lastMessage"]) == ("sandbox-small", 2, "kept")
    shown = [(message["role"], message["content"], message["chatSessionId"]) for message in messages["messages"]]
    assert shown == [("USER", "[echo kept]", session["id"]), ("ASSISTANT", "kept", session["id"])]


async def test_what_the_guide_shows_of_accounts_works_as_it_is_typed(shell: Shell) -> None:
    script = "\n".join(scripts("docs/http.md", "## Account"))
    script = re.sub(r"^link=.*\n", "", script, flags=re.MULTILINE).replace(".run/", "$CURL_HOME/")
    told = await printed(script, shell)
    assert "<button>Sign in</button>" in told
    assert "This browser is signed in as <b>ann</b>" in told
    assert told.count('{"user_id":"ann","visitor_id":null,"role":"user","projects":null}') == 3  # browser, key, token
    assert '{"ended":0}' in told
    assert [shown.startswith("20") for shown in re.findall(r'"revoked_at":"?(\w+)', told)] == [False, True]


async def test_curl_shows_an_answer_as_it_comes_and_ends_nothing_where_it_is_left(shell: Shell) -> None:
    call = next(line for line in FIRST_CALL.split("\n") if line.startswith("curl -N "))
    call = call.replace('"first"', '"left"').replace("Hello", "[chunks 1000] [slow 50]")
    session = 'curl "$TRIPTHREAD_URL/api/chat/sessions/left" -H "$auth"'
    async with typed(f"exec {call}", shell) as curl, asyncio.timeout(30):
        assert curl.stdout is not None
        while b'"text-delta"' not in await curl.stdout.readline():
            pass
        assert json.loads(await printed(session, shell))["session"]["running_turn"]
    assert json.loads(await printed(session, shell))["session"]["running_turn"]
    stopped = await printed('curl -X POST "$TRIPTHREAD_URL/api/chat/left/stop" -H "$auth"', shell)
    assert json.loads(stopped)["status"] == "stopped"
