"""A comparison as CSV: a row each arm, or each measure."""

import csv
import io
from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Any

from pydantic import BaseModel

from services.gateway.analytics.comparing.answers import Arm, Comparison, PairedComparison
from services.gateway.analytics.comparing.intervals import Difference

# A cell that begins so would be worked out as a formula by who opens it in a spreadsheet.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_of(found: Comparison | PairedComparison) -> str:
    """Spell it with a line of names first; an absent number is an empty cell."""
    if isinstance(found, PairedComparison):
        return _spelled("measure", _columns(Difference), found.differences.items())
    kinds = (("false", found.models), ("true", found.mixed))
    return _spelled("mixed", _columns(Arm), [(mixed, arm) for mixed, arms in kinds for arm in arms])


def _columns(kind: type[BaseModel], path: tuple[str, ...] = ()) -> dict[str, tuple[str, ...]]:
    """Name each number, also within a part, and say where it is: `thumbs_up_rate_low`; a rate's value has its name."""
    columns: dict[str, tuple[str, ...]] = {}
    for name, field in kind.model_fields.items():
        part, own = field.annotation, (*path, name)
        if isinstance(part, type) and issubclass(part, BaseModel):
            columns |= _columns(part, own)
        else:
            columns["_".join(path if name == "value" else own)] = own
    return columns


def _spelled(first: str, columns: Mapping[str, tuple[str, ...]], rows: Iterable[tuple[str, BaseModel]]) -> str:
    sheet = io.StringIO(newline="")
    writer = csv.writer(sheet)
    writer.writerow([first, *columns])
    for name, row in rows:
        writer.writerow([name, *(_cell(reduce(getattr, path, row)) for path in columns.values())])
    return sheet.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, dict):  # of costs, by currency
        return " ".join(f"{amount} {currency}" for currency, amount in sorted(value.items()))
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
