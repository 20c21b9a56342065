"""`python -m deploy.healthcheck PATH [PORT ...]`: ask the process of this container, and answer by exit status.

Standard library only: it starts every few seconds in every container, and the image has no curl.
"""

import os
import sys
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException

TIMEOUT_S = 4.0


def main(arguments: Sequence[str]) -> int:
    """Return 0 where the path answers 200 on every port (default: INTERNAL_PORT); print what it says instead."""
    path, *ports = arguments
    refusals = [
        said for port in ports or [os.environ.get("INTERNAL_PORT", "9080")] if (said := refusal(int(port), path))
    ]
    print(*refusals or ["ok"], sep="\n")  # noqa: T201 - `docker inspect` shows it
    return 1 if refusals else 0


def refusal(port: int, path: str) -> str | None:
    """Say what it answers instead of 200. No proxy is asked, whatever the environment says."""
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read(2000).decode(errors="replace")
    except (OSError, HTTPException) as error:
        return f"port {port}: {error}"
    finally:
        connection.close()
    return None if answer.status == 200 else f"port {port}: {answer.status} {body}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
