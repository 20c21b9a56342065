"""The conversation between a command and the supervisor."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy.supervisor.supervising.control import Control, NotRunningError, ask
from deploy.supervisor.trouble import Trouble


def refuse(_request: object) -> dict[str, object]:
    raise Trouble("it cannot be done")


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    control = Control(tmp_path, {"echo": lambda request: {"said": request["what"]}, "refuse": refuse})
    yield control
    control.close()


def served(control: Control, directory: Path, do: str, **details: str) -> dict[str, object]:
    """Ask from another thread while the supervisor serves one request in this one."""
    with ThreadPoolExecutor(1) as caller:
        answer = caller.submit(ask, directory, do, **details)
        control.serve_for(5.0)
        return answer.result()


def test_answer_comes_back(control: Control, tmp_path: Path) -> None:
    assert served(control, tmp_path, "echo", what="ok") == {"said": "ok"}


def test_trouble_is_raised_where_it_was_asked(control: Control, tmp_path: Path) -> None:
    with pytest.raises(Trouble, match="it cannot be done"):
        served(control, tmp_path, "refuse")


def test_nobody_there_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NotRunningError):
        ask(tmp_path, "echo")


def test_directory_may_be_deeper_than_a_socket_path_is_long(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    control = Control(deep, {"echo": lambda _: {"said": "ok"}})

    assert served(control, deep, "echo") == {"said": "ok"}
    control.close()


def test_nonsense_does_not_end_the_supervisor(control: Control, tmp_path: Path) -> None:
    for nonsense in (b"", b"not json\n", b'{"do": "nothing known"}\n', b"[]\n"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(tmp_path / "control"))
            connection.sendall(nonsense)
            connection.shutdown(socket.SHUT_WR)
            control.serve_for(5.0)

    assert served(control, tmp_path, "echo", what="still here") == {"said": "still here"}


def test_closed_control_leaves_no_socket(control: Control, tmp_path: Path) -> None:
    control.close()

    assert list(tmp_path.iterdir()) == []
