"""The containers' health check: it says by its exit status whether a process answers."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from deploy.healthcheck import main
from deploy.supervisor.machine.ports import free_port


class Answer(BaseHTTPRequestHandler):
    """Answers 200 to `/healthz`, 503 to all else."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 503)
        self.end_headers()
        self.wfile.write(b"the broker is away")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield str(server.server_port)
        server.shutdown()


def test_a_process_that_answers_is_well(port: str) -> None:
    assert main(["/healthz", port]) == 0


def test_a_process_that_is_not_ready_is_not_and_says_why(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["/readyz", port]) == 1
    assert "503 the broker is away" in capsys.readouterr().out


def test_every_port_must_answer(port: str) -> None:
    assert main(["/healthz", port, str(free_port())]) == 1


def test_the_internal_port_is_asked_where_none_is_named(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERNAL_PORT", port)
    assert main(["/healthz"]) == 0


def test_no_proxy_is_asked(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    assert main(["/healthz", port]) == 0
