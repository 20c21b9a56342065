"""A comparison as a sheet."""

import csv
from datetime import timedelta
from decimal import Decimal

from services.gateway.analytics.comparing.answers import Arm, Comparison, PairedComparison, Percentiles, Thumbs, Tokens
from services.gateway.analytics.comparing.as_csv import csv_of
from services.gateway.analytics.comparing.intervals import NO_RATE, paired_difference, wilson
from tests.pure.gateway.samples import minutes


def arm(name: str) -> Arm:
    return Arm(
        name=name,
        provider="openai",
        users=1,
        sessions=10,
        turns=12,
        calls=12,
        errors=1,
        interrupted=0,
        stopped=0,
        error_rate=wilson(1, 10),
        failed_sessions=wilson(1, 10),
        regenerate_rate=wilson(0, 10),
        thumbs=Thumbs(up=0, down=0, up_rate=NO_RATE),
        disliked_sessions=wilson(0, 10),
        ttft_ms=Percentiles(p50=10.5, p95=20, n=12),
        duration_ms=Percentiles(p50=None, p95=None, n=0),
        tokens=Tokens(input=1, output=2, total=3, estimated_calls=0),
        cost={"USD": Decimal("0.10"), "EUR": Decimal("1.5")},
    )


def compared(*names: str) -> Comparison:
    return Comparison(
        **{"from": minutes(0)},
        to=minutes(0) + timedelta(1),
        by="model",
        models=[arm(name) for name in names],
        mixed=[arm("both")],
    )


def test_each_arm_is_a_row_with_all_its_numbers() -> None:
    first, mixed = csv.DictReader(csv_of(compared("gpt")).splitlines())

    assert (first["name"], first["mixed"], mixed["name"], mixed["mixed"]) == ("gpt", "false", "both", "true")
    assert (first["error_rate"], first["error_rate_low"][:8]) == ("0.1", "0.017876")
    assert (first["thumbs_up_rate"], first["thumbs_up_rate_low"]) == ("", "")
    assert (first["ttft_ms_p50"], first["duration_ms_p95"], first["tokens_total"]) == ("10.5", "", "3")
    assert first["cost"] == "1.5 EUR 0.10 USD"


def test_nothing_found_is_a_line_of_names() -> None:
    (line,) = csv_of(compared().model_copy(update={"mixed": []})).splitlines()

    assert line.startswith("mixed,name,provider,users,sessions,turns")


def test_no_name_is_a_formula() -> None:
    first, _ = csv.DictReader(csv_of(compared('=HYPERLINK("http://evil")')).splitlines())

    assert first["name"] == '\'=HYPERLINK("http://evil")'


def test_each_difference_is_a_row() -> None:
    found = PairedComparison(
        **{"from": minutes(0)},
        to=minutes(1),
        by="model",
        models=("a", "b"),
        users=12,
        differences={"ttft_ms": paired_difference(-2.0, 1.0, 12), "turns": paired_difference(None, None, 3)},
    )

    first, second = csv.DictReader(csv_of(found).splitlines())

    assert (first["measure"], first["mean"], first["n"], first["left_out"]) == ("ttft_ms", "-2.0", "12", "")
    assert (second["measure"], second["mean"], second["left_out"]) == ("turns", "", "fewer than 10 users")
