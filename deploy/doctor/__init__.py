"""`tripthread doctor`: what is wrong with a running stack, one line a check, each with what to do about it."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from deploy.disk import little_disk
from deploy.doctor.broker import check_broker
from deploy.doctor.database import check_database
from deploy.doctor.finding import Finding
from deploy.doctor.outside import check_outside
from deploy.doctor.processes import check_circuits, check_gateways
from shared.settings import NEEDED, Settings

KEPT = Path(__file__).resolve().parents[2] / ".run"  # by `./run`, which no image has


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Run every check, the deeper ones only where what they stand on is well."""
    for finding in check_settings(settings):
        yield finding
    for finding in check_disk(KEPT):
        yield finding
    async for finding in check_database(settings):
        yield finding
    async for finding in check_broker(settings):
        yield finding
    async for finding in check_gateways(os.environ):
        yield finding
    async for finding in check_circuits(os.environ):
        yield finding
    async for finding in check_outside(settings):
        yield finding


def check_settings(settings: Settings) -> list[Finding]:
    findings = []
    for part in NEEDED:
        try:
            settings.checked_for(part)
        except ValueError as error:
            findings.append(Finding(f"settings of {part}", "incomplete", str(error)))
        else:
            findings.append(Finding(f"settings of {part}", "complete"))
    return findings


def check_disk(directory: Path) -> list[Finding]:
    """Look at the room for what `./run` keeps; in a container there is nothing of that, and nothing is said."""
    if not directory.exists():
        return []
    free = shutil.disk_usage(directory).free
    return [Finding("disk", f"{free / 1e9:.1f} GB free", little_disk(directory) or None)]
