"""Ask the model's service which models it has, once in a gateway's life.

The openai client asks. To import it would add 18 MB to a gateway's 89, and stop its event loop for a fifth of a second;
so a process of its own does it, which ends with the answer.
"""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

from services.gateway.model.configured.catalog import UpstreamSpec
from shared.errors import ModelAway

PROGRAM = "services.gateway.model.configured.openai_listing"
ROOT = Path(__file__).parents[4]  # where `services` is
TIMEOUT_S = 30.0


async def list_models(upstream: UpstreamSpec) -> list[str] | None:
    """Return the names of a service's models, None where it has no list of them.

    Raises:
        ModelAway: It can't be reached, or refuses; the detail says which, and never the key.
    """
    key = upstream.key.get_secret_value()
    question = {"url": upstream.base_url, "key": key, "headers": upstream.key_headers if upstream.key_header else {}}
    status, said, trouble = await _run(json.dumps(question).encode())
    if status != 0:
        raise ModelAway(f"the model's service cannot be asked for its models: {trouble or status}")
    answer = json.loads(said)
    if "away" in answer:
        raise ModelAway(f"the model's service does not list its models: {answer['away']}")
    models: list[str] | None = answer["models"]
    return models


async def _run(question: bytes) -> tuple[int | None, bytes, str]:
    """Run the program; return its exit status, what it said, and its last word on what went wrong."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", PROGRAM, stdin=PIPE, stdout=PIPE, stderr=PIPE, cwd=ROOT, start_new_session=True
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            said, trouble = await process.communicate(question)
    except TimeoutError as error:
        raise ModelAway(f"the model's service did not list its models within {TIMEOUT_S:.0f} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, said, trouble.decode(errors="replace").strip().rpartition("\n")[2]
