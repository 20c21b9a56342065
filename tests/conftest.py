"""For every test: signals mean what they always mean, no example of a property is timed, and some run alone."""

import gc
import signal
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

from tests.alone import turn

# Whoever runs the tests in the background may ignore SIGINT, and every process that a test starts would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# What is imported and collected stays: to look for lost cycles in it again and again takes a seventh of the time.
gc.disable()

# A machine that does other things at the same time makes nothing false.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    lengths = parser.getgroup("lengths", "lengths of tests that a person may want to be longer, in seconds")
    lengths.addoption(
        "--kill-run-s", type=float, default=20.0, help="of the kills of tests/connected/faults/test_kill_run.py"
    )
    lengths.addoption("--outage-s", type=float, default=10.0, help="of the broker's absence in faults/test_outages.py")


def pytest_collection_finish() -> None:
    gc.enable()
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    with turn(alone=item.get_closest_marker("alone") is not None):
        return (yield)
