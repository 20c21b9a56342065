"""What a failure of an upstream means for the turn: whether to ask again, to ask elsewhere, and how long to wait."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from services.gateway.model.chunks import Complaint
from services.gateway.model.reading.complaints import TOO_LONG, is_about_account
from shared.errors import ModelAway
from shared.texts.retry_after import retry_after_s


@dataclass(frozen=True)
class Outlook:
    """What may help."""

    again: bool = False  # the same upstream may answer in a moment
    elsewhere: bool = False  # another one may answer
    counts: bool = False  # it tells of the upstream, and not of this question


HOPELESS = Outlook()  # whoever is asked will refuse this question
ELSEWHERE = Outlook(elsewhere=True)
DOWN = Outlook(elsewhere=True, counts=True)
BUSY = Outlook(again=True, elsewhere=True)
BROKEN = Outlook(again=True, elsewhere=True, counts=True)
OUTLOOKS = {
    **dict.fromkeys((400, 405, 406, 411, 413, 414, 415, 422, 431, 451), HOPELESS),
    **dict.fromkeys((401, 402), DOWN),
    **dict.fromkeys((408, 409, 425, 429), BUSY),
    **dict.fromkeys((501, 505), ELSEWHERE),
}
# Said with a 429 where waiting does not help: the account has nothing left.
SPENT = frozenset(("insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "credits_exhausted"))
# Errors in the middle of a stream often have no status, but one of these words.
MOMENTARY = re.compile(r"overload|rate_limit|unavailable|timeout|timed_out|internal|server_error|busy|capacity", re.I)


class UpstreamFailed(ModelAway):
    """An upstream has not answered, or not to the end."""

    def __init__(self, detail: str, outlook: Outlook, wait_s: float | None = None, status: int | None = None) -> None:
        super().__init__(detail, **({"upstream_status": status} if status else {}))
        self.outlook = outlook
        self.wait_s = wait_s  # for which it wants to be left alone; none: it does not say


def outlook_of(status: int | None, complaint: Complaint | None) -> Outlook:
    """Return what may help after an HTTP error, or after an error in the stream, whose status may be unknown."""
    status = status or (complaint.status if complaint else None)
    name = (complaint.name if complaint else None) or ""
    if name in SPENT or is_about_account(complaint):
        return DOWN
    if name in TOO_LONG:
        return HOPELESS
    if status is None:
        return BUSY if MOMENTARY.search(name) else ELSEWHERE
    return OUTLOOKS.get(status, BROKEN if status >= 500 else ELSEWHERE)


def wanted_wait_s(headers: Mapping[str, str], complaint: Complaint | None) -> float | None:
    """Read how long to wait; Azure says it in milliseconds, too, and Google in the body alone."""
    milliseconds = retry_after_s(headers.get("retry-after-ms"))
    wait_s = milliseconds / 1000 if milliseconds is not None else retry_after_s(headers.get("Retry-After"))
    return complaint.wait_s if wait_s is None and complaint is not None else wait_s
