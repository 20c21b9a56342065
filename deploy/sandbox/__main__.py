"""`python -m deploy.sandbox`: serve both stand-ins until SIGTERM or Ctrl-C."""

import asyncio
import logging
import signal
import sys
from collections.abc import Iterable

from pydantic import ValidationError

from deploy.sandbox.serving import serving
from deploy.sandbox.settings import SandboxSettings

_log = logging.getLogger("sandbox")


async def serve_until_stopped(settings: SandboxSettings) -> None:
    """Serve until a signal asks to stop."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with serving(settings) as addresses:
        _log.info("simulated model at %s, simulated Avinode at %s", addresses.model, addresses.avinode)
        await stopping.wait()


def _told(place: Iterable[int | str], said: str) -> str:
    """Say what is wrong with which variable, without its value: it may be a secret."""
    names = [str(name).upper() for name in place]
    return ": ".join([*names, said.removeprefix("Value error, ")])


def main() -> None:
    """Read the environment and serve, or say why not."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        settings = SandboxSettings()
        asyncio.run(serve_until_stopped(settings))
    except ValidationError as error:
        sys.exit("sandbox: " + "; ".join(_told(each["loc"], each["msg"]) for each in error.errors(include_input=False)))
    except OSError as error:
        sys.exit(f"sandbox: can't listen: {error}")


if __name__ == "__main__":
    main()
