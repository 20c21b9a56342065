"""Files of `KEY=value` lines."""

from collections.abc import Mapping
from pathlib import Path

from deploy.supervisor.remembered import write_privately


def read_env(path: Path) -> dict[str, str]:
    """Read the variables of a file; none where there is no file. Quotes around a value are not part of it."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.removeprefix("export ").partition("=") for line in lines if not line.lstrip().startswith("#"))
    return {key.strip(): _unquoted(value.strip()) for key, sign, value in pairs if sign}


def write_env(path: Path, variables: Mapping[str, str]) -> None:
    """Replace the file at once, readable by its owner alone."""
    write_privately(path, "".join(f"{key}={value}\n" for key, value in variables.items()))


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value
