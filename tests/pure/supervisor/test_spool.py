"""Logs of bounded size, of which no line is lost."""

import stat
import sys
from pathlib import Path

import pytest

from deploy.supervisor.machine import spool
from deploy.supervisor.machine.child import Child
from deploy.supervisor.trouble import Trouble

PRINTER = "for number in range({}): print('line', number)"


def printed(log: Path) -> bytes:
    """Everything that is kept, the oldest first."""
    older = sorted(log.parent.glob(f"{log.name}.*"), key=lambda path: -int(path.suffix[1:]))
    return b"".join(path.read_bytes() for path in (*older, log))


def test_every_line_is_kept_whole_and_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "LOG_BYTES", 100_000)  # more than comes at once
    monkeypatch.setattr(spool, "GENERATIONS", 100)
    log = tmp_path / "printer.log"
    child = Child("printer", [sys.executable, "-c", PRINTER.format(100_000)], log=log)

    child.launch()
    child.wait_end(30)

    assert not child.running
    assert printed(log).splitlines() == [f"line {number}".encode() for number in range(100_000)]
    assert len(list(tmp_path.iterdir())) > 5
    assert all(path.read_bytes().endswith(b"\n") for path in tmp_path.iterdir() if path.stat().st_size)


def test_oldest_generation_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "LOG_BYTES", 1000)
    log = tmp_path / "printer.log"

    for number in range(1000):
        spool.append(log, f"line {number}\n".encode())

    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"printer.log", *(f"printer.log.{number}" for number in range(1, spool.GENERATIONS + 1))}
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= (1000 + len("line 999\n")) * (
        spool.GENERATIONS + 1
    )
    assert printed(log).splitlines()[-1] == b"line 999"


def test_line_without_an_end_is_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "LOG_BYTES", 1000)
    log = tmp_path / "printer.log"

    for _ in range(100):
        spool.append(log, b"x" * 100)

    assert max(path.stat().st_size for path in tmp_path.iterdir()) <= 1000


def test_reason_of_an_end_is_shown_after_the_log_was_turned_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "LOG_BYTES", 50_000)
    log = tmp_path / "printer.log"
    log.write_bytes(b"of an earlier launch\n" * 2000)
    child = Child("printer", [sys.executable, "-c", f"{PRINTER.format(1000)}; raise SystemExit('no luck')"], log=log)

    child.launch()

    with pytest.raises(Trouble, match="no luck"):
        child.wait_end(30)


def test_log_is_its_owners_alone(tmp_path: Path) -> None:
    spool.append(tmp_path / "log" / "printer.log", b"x\n")

    assert stat.S_IMODE((tmp_path / "log" / "printer.log").stat().st_mode) == 0o600
