"""Read a file that a setting names: TOML of a given shape, in which what is wrong is said by its key."""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

Shape = TypeVar("Shape", bound=BaseModel)


# Of a table of such a file: it takes nothing for what it is not, and no key that it does not know.
TABLE = ConfigDict(frozen=True, extra="forbid", strict=True)


def read_toml(path: str | Path, shape: type[Shape], invalid: Callable[[str], Exception]) -> Shape:
    """Read the file.

    Raises:
        What `invalid` makes of a sentence: it is not there, is no TOML, or says something that cannot be.
    """
    try:
        return shape.model_validate(tomllib.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise invalid(getattr(error, "strerror", None) or "is not in UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise invalid(f"is no TOML: {error}") from error
    except ValidationError as error:
        raise invalid("; ".join(map(_said, error.errors(include_url=False)))) from error


def _said(fault: Mapping[str, Any]) -> str:
    what = {"extra_forbidden": "is not known", "missing": "is missing"}.get(fault["type"], fault["msg"])
    return f"{_key_of(fault['loc'])}: {what.removeprefix('Value error, ')}"


def _key_of(location: Sequence[str | int]) -> str:
    """Spell a place in the file: `upstreams[0].models[1].name`, counted from 0; without what pydantic calls a key."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location if part != "[key]"]
    return "".join(parts).removeprefix(".")
