"""Files of `KEY=value` lines, as dotenv, docker compose and a shell read them too."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from deploy.supervisor.machine.remembered import write_privately
from deploy.supervisor.trouble import Trouble

_LINE = re.compile(r"\s*(?:export\s+)?(?P<key>\w+)\s*=(?P<value>.*)")
_QUOTED = re.compile(r"""\s*(?P<quote>["'])(?P<text>.*?)(?P=quote)\s*(?:#.*)?$""")
_COMMENT = re.compile(r"\s#.*")


def read_env(path: Path) -> dict[str, str]:
    """Read the variables of a file; none where there is no file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    return {found["key"]: _value(found["value"]) for line in lines if (found := _LINE.match(line))}


def write_env(path: Path, variables: Mapping[str, str]) -> None:
    """Replace the file at once, readable by its owner alone.

    Raises:
        Trouble: a value has a quote or a line break, which the readers of such files disagree on.
    """
    write_privately(path, "".join(f"{key}={_quoted(key, value)}\n" for key, value in variables.items()))


def _value(text: str) -> str:
    """What stands after the sign, without its quotes or its comment."""
    quoted = _QUOTED.match(text)
    return quoted["text"] if quoted else _COMMENT.sub("", text).strip()


def _quoted(key: str, value: str) -> str:
    if "'" in value or "\n" in value:
        message = f"the value of {key} has a quote or a line break, which cannot be handed on: use another"
        raise Trouble(message)
    return shlex.quote(value) if value else ""
