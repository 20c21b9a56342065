"""Facts that must outlive a process: one small JSON file, readable by its owner alone."""

import json
import os
from pathlib import Path
from typing import Any


def recall(path: Path) -> dict[str, Any]:
    """Read the facts; none where nothing was remembered yet."""
    try:
        facts: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    return facts


def remember(path: Path, facts: dict[str, Any]) -> None:
    """Replace the facts at once: a reader sees the old ones or the new ones."""
    write_privately(path, json.dumps(facts, indent=1) + "\n")


def write_privately(path: Path, text: str) -> None:
    """Write a file of mode 0600 in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
