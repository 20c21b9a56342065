"""Which headers carry a trace on, in one that nobody sees and in others."""

import re
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from shared.process.telemetry import enter, enter_unseen, extract, inject, is_unseen, leave, spanning

UNSEEN = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-00"}
SEEN = {"traceparent": f"00-{'3' * 32}-{'4' * 16}-01"}

tracer = TracerProvider().get_tracer("test")


@pytest.fixture
def unseen() -> Iterator[None]:
    entered = enter(extract(UNSEEN))
    yield
    leave(entered)


def within(origin: dict[str, str] | None = None) -> str:
    """Return what a span carries on, the current one or one that continues another trace."""
    with spanning(tracer, "work", trace.SpanKind.INTERNAL, {}, origin=None if origin is None else extract(origin)):
        return inject()["traceparent"]


@pytest.mark.usefixtures("unseen")
def test_what_nobody_sees_is_carried_on_as_it_came() -> None:
    assert is_unseen()
    assert inject() == UNSEEN
    assert within() == UNSEEN["traceparent"]


@pytest.mark.usefixtures("unseen")
def test_a_span_of_another_trace_carries_that_one_on() -> None:
    carried = within(SEEN)
    assert carried[:35] == SEEN["traceparent"][:35]
    assert carried != SEEN["traceparent"], "it is the span's own"
    assert inject() == UNSEEN, "which is over"


def test_of_an_unseen_origin_a_span_in_a_trace_that_is_seen_carries_the_origin_on() -> None:
    entered = enter(extract(SEEN))
    assert not is_unseen()
    assert within(UNSEEN) == UNSEEN["traceparent"]
    assert inject() == SEEN
    leave(entered)


def test_without_a_trace_nothing_is_carried() -> None:
    assert not is_unseen()
    assert inject() == {}


def test_a_trace_that_nobody_will_see_has_an_id_of_its_own_that_all_in_it_carries_on() -> None:
    entered = enter_unseen()
    (carried,) = inject().values()
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-02", carried)
    assert is_unseen()
    assert within() == carried
    leave(entered)
    assert inject() == {}
    other = enter_unseen()
    assert inject() != {"traceparent": carried}
    leave(other)
