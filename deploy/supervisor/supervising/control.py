"""How the commands talk to the running supervisor: a line of JSON each way over a Unix socket."""

import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from deploy.supervisor.trouble import Trouble

Handler = Callable[[dict[str, Any]], dict[str, Any]]
_SOCKET = "control"
_PATIENCE_S = 10.0


class NotRunningError(Exception):
    """No supervisor answers here."""


class Control:
    """The supervisor's end. It serves one request at a time, between two looks at the processes."""

    def __init__(self, directory: Path, handlers: Mapping[str, Handler]) -> None:
        """Listen at `directory`; a request's "do" names the handler."""
        self._handlers = handlers
        self._listener = socket.socket(socket.AF_UNIX)
        self._path = directory / _SOCKET
        self._path.unlink(missing_ok=True)
        with _short_path(directory) as path:
            self._listener.bind(path)
        self._listener.listen(16)

    def serve_for(self, seconds: float) -> None:
        """Wait this long for a request, and answer it."""
        self._listener.settimeout(seconds)
        try:
            connection, _ = self._listener.accept()
        except TimeoutError:
            return
        # A caller that goes away or sends nonsense is its own problem.
        with connection, suppress(OSError, ValueError):
            connection.settimeout(1.0)
            request = json.loads(connection.makefile().readline())
            connection.sendall(json.dumps(self._answer(request)).encode() + b"\n")

    def close(self) -> None:
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _answer(self, request: object) -> dict[str, Any]:
        handler = self._handlers.get(request.get("do", "")) if isinstance(request, dict) else None
        if not isinstance(request, dict) or handler is None:
            return {"trouble": "the running supervisor does not know this request: is it of another version?"}
        try:
            return handler(request)
        except Trouble as trouble:
            return {"trouble": str(trouble)}


def ask(directory: Path, do: str, **details: Any) -> dict[str, Any]:
    """Put a request to the supervisor that keeps its files here.

    Raises:
        NotRunningError: There is none.
        Trouble: It could not do it.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_PATIENCE_S)
        try:
            with _short_path(directory) as path:
                connection.connect(path)
            connection.sendall(json.dumps({"do": do, **details}).encode() + b"\n")
            answer: dict[str, Any] = json.loads(connection.makefile().readline() or "null")
        except (OSError, ValueError) as error:
            raise NotRunningError from error
    if answer is None:
        raise NotRunningError
    if "trouble" in answer:
        raise Trouble(answer["trouble"])
    return answer


@contextmanager
def _short_path(directory: Path) -> Iterator[str]:
    """Name the socket by way of an open directory: the path of a Unix socket is limited to 107 bytes."""
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{_SOCKET}"
    finally:
        os.close(descriptor)
