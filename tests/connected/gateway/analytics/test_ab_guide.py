"""The A/B of docs/analytics.md, as it is typed, against a running gateway, logger and tagger."""

import csv
import json
from collections.abc import AsyncIterator

import pytest

from tests.connected.gateway.chat.frontends.test_curl import Shell, printed, scripts, shell_beside_a_gateway
from tests.servers import Servers
from tests.waiting import until

ARMS = ("june sandbox-large", "june sandbox-small")


@pytest.fixture
async def shell(servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shell]:
    async with shell_beside_a_gateway(servers, template, tmp_path_factory.mktemp("ab")) as opened:
        yield opened


async def test_an_ab_of_two_models_goes_from_registration_to_its_sheet(shell: Shell) -> None:
    *begun, traces, sheet = scripts("docs/analytics.md", "## An A/B of two models")
    await printed("\n".join(begun), shell)

    async def compared() -> list[dict[str, str]] | None:
        rows = list(csv.DictReader((await printed(sheet, shell)).splitlines()))
        return rows if [row["turns"] for row in rows] == ["10", "10"] else None

    rows = await until(compared, "twenty turns in the sheet")
    assert [(row["name"], row["mixed"], row["sessions"]) for row in rows] == [(arm, "false", "10") for arm in ARMS]
    assert all((row["error_rate"], row["error_rate_high"][:5]) == ("0.0", "0.277") for row in rows)
    assert all(row["ttft_ms_n"] == "10" for row in rows)
    found = json.loads(await printed(traces, shell))["traces"]
    numbers = sorted(trace["session_tag"].rpartition("_")[2] for trace in found)
    assert numbers == sorted(2 * [f"{number:03}" for number in range(1, 11)])
