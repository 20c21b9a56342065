"""When an upstream is left alone, and when it is asked again."""

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.model.asking.circuit import ALONE, OPENS_AFTER, PROBE_S, Circuit


def opened(now: float = 0) -> Circuit:
    circuit = Circuit()
    for _ in range(OPENS_AFTER):
        circuit.failed(now)
    return circuit


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    circuit = Circuit()
    for _ in range(OPENS_AFTER - 1):
        circuit.failed(0)
    circuit.succeeded()
    circuit.failed(0)
    assert not circuit.is_open
    assert circuit.admits(0)
    assert opened().is_open
    assert not opened().admits(0)


def test_one_call_at_a_time_finds_out_whether_it_is_back() -> None:
    circuit = opened()
    assert circuit.admits(ALONE.first_s)
    circuit.call_begins(ALONE.first_s)
    assert not circuit.admits(ALONE.first_s + 1)
    assert circuit.admits(ALONE.first_s + PROBE_S), "that call may have been given up"
    circuit.succeeded()
    assert circuit.admits(ALONE.first_s + 1)
    assert not circuit.is_open


def test_who_finds_out_in_vain_lets_the_others_wait_longer() -> None:
    circuit = opened()
    circuit.call_begins(10)
    circuit.failed(11)
    assert not circuit.admits(11 + 2 * ALONE.first_s - 1)
    assert circuit.admits(11 + 2 * ALONE.first_s)


def test_calls_that_began_before_it_opened_count_no_more() -> None:
    circuit = opened()
    until = circuit.alone_until
    for _ in range(100):
        circuit.failed(1)
    assert circuit.alone_until == until


def test_nor_do_those_that_end_after_one_found_out_in_vain() -> None:
    circuit = opened()
    circuit.call_begins(10)
    circuit.failed(11)
    until = circuit.alone_until
    circuit.failed(12)
    assert circuit.alone_until == until


def test_who_asks_for_less_time_than_it_has_gets_no_less() -> None:
    circuit = opened()
    circuit.leave_alone(1)
    assert not circuit.admits(ALONE.first_s - 1)


def test_who_asks_to_be_left_alone_is_left_alone_and_is_well() -> None:
    circuit = Circuit()
    circuit.leave_alone(20)
    assert not circuit.admits(19)
    assert circuit.admits(20)
    assert not circuit.is_open


@given(st.lists(st.sampled_from(["call_begins", "failed", "succeeded"])), st.floats(0, 1000))
def test_nobody_is_left_alone_for_ever(events: list[str], now: float) -> None:
    circuit = Circuit()
    for event in events:
        getattr(circuit, event)(*([] if event == "succeeded" else [now]))
    assert circuit.admits(now + ALONE.longest_s)
