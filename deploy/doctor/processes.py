"""Ask the running processes: are they ready, and which upstreams do they leave alone?"""

from collections.abc import AsyncIterator, Mapping

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from deploy.doctor.finding import TIMEOUT_S, Finding

OPEN_CIRCUIT = "tripthread_model_circuit_open"

PATIENCE = aiohttp.ClientTimeout(total=TIMEOUT_S)


async def check_gateways(environment: Mapping[str, str]) -> AsyncIterator[Finding]:
    """Ask each gateway that `.run/env` names whether it is ready."""
    urls = [value for name, value in environment.items() if name.startswith("TRIPTHREAD_URL")]
    async with aiohttp.ClientSession(timeout=PATIENCE) as http:
        for url in urls:
            try:
                async with http.get(f"{url}/readyz") as response:
                    body = await response.json()
                    wrong = [*body["away"], *body["degraded"]]
                    trouble = f"away: {', '.join(wrong)}; `/readyz` on its internal address says why" if wrong else None
                    yield Finding(f"gateway {url}", f"answers {response.status}", trouble)
            except (aiohttp.ClientError, TimeoutError, ValueError, KeyError) as error:
                yield Finding(f"gateway {url}", "away", str(error) or type(error).__name__)
        for name in sorted(name for name in environment if name.startswith("INTERNAL_URL_")):
            yield await _process(http, name.removeprefix("INTERNAL_URL_"), environment[name])


async def _process(http: aiohttp.ClientSession, name: str, url: str) -> Finding:
    """Ask a process of a native stack, which says why it is not ready."""
    try:
        async with http.get(f"{url}/readyz") as response:
            body = await response.json()
            wrong = {**body["faults"], **body["degraded"]}
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError) as error:
        return Finding(f"process {name}", "away", str(error) or type(error).__name__)
    trouble = "; ".join(f"{subject}: {why}" for subject, why in wrong.items())
    return Finding(f"process {name}", body["status"], trouble or None)


async def check_circuits(environment: Mapping[str, str]) -> AsyncIterator[Finding]:
    """Ask each gateway whose internal address is known which upstreams it leaves alone."""
    urls = [value for name, value in environment.items() if name.startswith("TRIPTHREAD_INTERNAL_URL")]
    async with aiohttp.ClientSession(timeout=PATIENCE) as http:
        for url in urls:
            try:
                async with http.get(f"{url}/metrics") as response:
                    left_alone = open_circuits(await response.text())
            except (aiohttp.ClientError, TimeoutError) as error:
                yield Finding(f"metrics {url}", "away", str(error) or type(error).__name__)
                continue
            trouble = f"they failed several times in a row: {', '.join(left_alone)}; see the gateway's log"
            yield Finding(f"upstreams of {url}", f"{len(left_alone)} left alone", trouble if left_alone else None)


def open_circuits(metrics: str) -> list[str]:
    """Return the names of the upstreams whose circuit is open, by a gateway's metrics."""
    families = text_string_to_metric_families(metrics)
    samples = (sample for family in families for sample in family.samples)
    return [each.labels["upstream"] for each in samples if each.name == OPEN_CIRCUIT and each.value]
