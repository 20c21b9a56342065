"""The alerts: Prometheus reads them, each is raised by its trouble, and what they look at is what processes say."""

import asyncio
import re
import shutil
import subprocess
from pathlib import Path

import aiohttp
import pytest
import yaml  # type: ignore[import-untyped]
from prometheus_client.parser import text_string_to_metric_families

from deploy.sandbox.serving import serving
from deploy.sandbox.settings import SandboxSettings
from deploy.supervisor.machine.packages import require
from deploy.supervisor.machine.ports import free_port
from services.gateway.model.configured.models_file import ENVIRONMENT
from shared.settings import Settings
from tests.processes import ROOT, Process, running
from tests.tokens import token_for

RULES = ROOT / "deploy/alerts.yaml"
PLAYED = Path(__file__).with_name("alerts_test.yaml")
ALERTS = {rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}


@pytest.fixture(scope="module")
def promtool(tmp_path_factory: pytest.TempPathFactory) -> str:
    log = tmp_path_factory.mktemp("apt") / "apt.log"
    require("promtool", ("prometheus",), lambda: shutil.which("promtool") is not None, log=log)
    return "promtool"


@pytest.mark.parametrize(
    "arguments",
    [("check", "rules", str(RULES)), ("test", "rules", str(PLAYED))],
)
def test_prometheus_reads_the_rules_and_each_is_raised_by_its_trouble(promtool: str, arguments: tuple[str]) -> None:
    done = subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_played_and_explained() -> None:
    played = set(re.findall(r'alertname="(\w+)"', PLAYED.read_text()))
    explained = re.findall(r"^\| ([A-Z]\w+) \|", (ROOT / "docs/alerts.md").read_text(), re.MULTILINE)
    assert list(ALERTS) == explained
    assert set(ALERTS) == played


async def metrics_of(process: Process) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    url = f"http://127.0.0.1:{process.settings.internal_port}/metrics"
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        families = text_string_to_metric_families(await response.text())
        return {
            (each.name, frozenset(each.labels.items())): each.value for family in families for each in family.samples
        }


async def test_the_processes_say_what_the_alerts_look_at(settings: Settings, tmp_path: Path) -> None:
    async with serving(SandboxSettings(llm_port=0, avinode_port=0)) as sandbox:
        update = {"http_port": free_port(), "openai_base_url": f"{sandbox.model}/v1"}
        mine = settings.model_copy(update={**update, "avinode_base_url": f"{sandbox.avinode}/api"})
        async with running(mine, tmp_path, "gateway", "logger", "workflow") as processes:
            headers = {"Authorization": f"Bearer {token_for(mine, 'ann')}"}
            for number, asked in enumerate(("[echo hi]", "[error 418]")):
                body = {"message": asked, "model": f"made-up-{number}"}
                async with aiohttp.ClientSession() as http:
                    url = f"http://127.0.0.1:{mine.http_port}/api/chat"
                    async with http.post(url, json=body, headers=headers) as response:
                        await response.read()

            async def counted() -> bool:
                found = await metrics_of(processes["gateway"])
                return found.get(("tripthread_queue_consumers", frozenset({("queue", "logger.chat")}))) == 1

            async with asyncio.timeout(60):  # two more looks of the census, and more
                while not await counted():
                    await asyncio.sleep(0.2)
            gateway = await metrics_of(processes["gateway"])
            others = [await metrics_of(processes[name]) for name in ("logger", "workflow")]
    assert gateway["tripthread_turns_ended_total", frozenset({("status", "complete")})] == 1
    assert gateway["tripthread_turns_ended_total", frozenset({("status", "failed")})] == 1
    assert gateway["tripthread_turns_running", frozenset()] == 0
    calls = {("upstream", ENVIRONMENT), ("status", "ok")}
    assert gateway["tripthread_model_call_seconds_count", frozenset(calls)] == 1
    assert gateway["tripthread_turns_expired", frozenset()] == 0
    assert gateway["tripthread_turns_untold", frozenset()] == 0
    assert gateway["tripthread_broker_away", frozenset({("connection", "gateway publisher")})] == 0
    assert gateway["tripthread_database_connections_max", frozenset({("login", "tripthread_gateway")})] == 10
    assert others[0]["tripthread_consumer_away", frozenset({("queue", "logger.chat")})] == 0
    looked_at = {name for rule in ALERTS.values() for name in re.findall(r"tripthread_\w+", rule["expr"])}
    exported = {name for found in (gateway, *others) for name, _ in found}
    assert looked_at - exported <= {"tripthread_dead_letters"}  # which has no queue yet
    assert not any("made-up" in value for found in (gateway, *others) for _, labels in found for _, value in labels)
