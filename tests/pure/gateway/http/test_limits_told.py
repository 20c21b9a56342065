"""Every limit that refuses is counted from the start, by the name that callers read."""

import ast
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from prometheus_client import REGISTRY

from services.gateway.account.limits.quota import KINDS
from services.gateway.http.answers.problems import LIMITS

GATEWAY = Path(__file__).parents[4] / "services/gateway"
OF_ADDRESSES = [f"visitor_{kind}" for kind in KINDS if kind != "sessions_in_all"]  # which nobody knows of an address


def _calls(*names: str) -> Iterator[ast.Call]:
    trees = (ast.walk(ast.parse(path.read_text())) for path in GATEWAY.rglob("*.py"))
    for node in chain.from_iterable(trees):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
            yield node


def _constants(nodes: Iterator[ast.expr]) -> set[object]:
    return {node.value for node in nodes if isinstance(node, ast.Constant)}


def test_the_limits_that_the_gateway_has_are_those_that_are_counted() -> None:
    rates = _constants(call.args[1] for call in _calls("Rate") if len(call.args) > 1)
    others = _constants(
        keyword.value for call in _calls("TooMany") for keyword in call.keywords if keyword.arg == "limit"
    )
    assert {*rates, *others, *KINDS, *OF_ADDRESSES} == set(LIMITS)
    assert "turns" in rates
    assert "bytes_at_once" in others


def test_a_limit_that_refused_nobody_yet_has_a_sample() -> None:
    samples = {
        sample.labels["limit"]
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name == "tripthread_refused_total"
    }
    assert samples >= set(LIMITS)
