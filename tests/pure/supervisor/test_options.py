"""The options of `./run up`."""

import pytest

from deploy.supervisor.up_options import parse_up_options


def test_without_options_one_of_each_runs_in_the_foreground() -> None:
    options = parse_up_options([])

    assert (options.mode, options.detach) == (None, False)
    assert options.counts == {"gateway": 1, "logger": 1, "tagger": 1, "workflow": 1}


def test_options_choose_mode_and_numbers() -> None:
    options = parse_up_options(["--detach", "--native", "--gateways", "2", "--taggers", "3"])

    assert (options.mode, options.detach) == ("native", True)
    assert options.counts == {"gateway": 2, "logger": 1, "tagger": 3, "workflow": 1}


@pytest.mark.parametrize("wrong", [["--gateways", "0"], ["--loggers", "x"], ["--native", "--docker"], ["--detached"]])
def test_wrong_option_is_refused(wrong: list[str]) -> None:
    with pytest.raises(SystemExit):
        parse_up_options(wrong)
