"""What one check found."""

from dataclasses import dataclass

TIMEOUT_S = 5.0  # that a check waits for an answer


@dataclass(frozen=True)
class Finding:
    """What one check found; `trouble` is None where all is well."""

    subject: str
    detail: str
    trouble: str | None = None
