"""Programs that are run to their end."""

import sys
from pathlib import Path

import pytest

from deploy.supervisor.machine.programs import output_of, succeeds
from deploy.supervisor.trouble import Trouble


def test_success_is_the_exit_status_of_a_program_that_is_there(tmp_path: Path) -> None:
    assert succeeds("true")
    assert not succeeds("false")
    assert not succeeds(tmp_path / "none")


def test_program_that_takes_too_long_does_not_succeed() -> None:
    assert not succeeds("sleep", "5", timeout_s=0.05)


def test_what_a_program_printed_comes_back() -> None:
    assert output_of("it", sys.executable, "-c", "import os; print(os.environ['A'])", env={"A": "b"}) == "b"


def test_failure_is_told_with_all_that_was_said() -> None:
    fails = "import sys; print('begun'); sys.exit('no disk')"
    with pytest.raises(Trouble, match=r"token failed:\nbegun\nno disk"):
        output_of("token", sys.executable, "-c", fails, env={})
