"""How far a rate or a difference can be trusted: 95 % intervals. Pure.

Turns of one session are alike, so their rates are no rates of independent trials: their intervals count sessions.
Formulas of a few lines, and tested against the numbers of published tables: the libraries that have them (SciPy,
statsmodels) take 87 MB of a process's memory and a second of its interpreter.
"""

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

from pydantic import BaseModel

Z = NormalDist().inv_cdf(0.975)
LEAST_FOR_T = 10  # observations, from which on `t_quantile` is exact to four digits; and a mean is worth something


class Rate(BaseModel):
    """A part of a whole, between 0 and 1, with its 95 % interval; None where there is no whole."""

    value: float | None
    low: float | None
    high: float | None


class Difference(BaseModel):
    """The mean of so many differences, with its 95 % interval; without them where there are too few."""

    mean: float | None
    low: float | None
    high: float | None
    n: int
    left_out: str | None = None  # why there is no mean


@dataclass(frozen=True)
class Clusters:
    """Sums over sessions, each with `n` turns of which `x` are counted."""

    sessions: int
    n: float = 0
    x: float = 0
    nn: float = 0  # the sum of each n squared, and so on
    xn: float = 0
    xx: float = 0


NO_RATE = Rate(value=None, low=None, high=None)


def wilson(x: float, n: float) -> Rate:
    """Return the rate of x in n independent trials with its interval, by E. B. Wilson (1927).

    It lies within 0 and 1, and is right for small numbers and for none at all. Neither need be whole.
    """
    if n <= 0:
        return NO_RATE
    rate, square = x / n, Z * Z
    middle = (rate + square / (2 * n)) / (1 + square / n)
    half = Z / (1 + square / n) * sqrt(rate * (1 - rate) / n + square / (4 * n * n))
    return Rate(value=rate, low=max(0.0, round(middle - half, 12)), high=min(1.0, round(middle + half, 12)))


def clustered(sums: Clusters) -> Rate:
    """Return the rate of counted turns in all turns, with an interval that sessions are counted for.

    The variance is that of a ratio estimator over sessions (W. G. Cochran, Sampling Techniques, 2.11); the interval is
    Wilson's for as many independent trials as would have that variance (E. L. Korn, B. I. Graubard, 1998): never more
    than there are turns, and as many as sessions where the turns say nothing of it, since none or all are counted.
    """
    if sums.n <= 0:
        return NO_RATE
    rate = sums.x / sums.n
    spread = sums.xx - 2 * rate * sums.xn + rate * rate * sums.nn  # of x around rate * n, squared and summed
    trials = float(sums.sessions)
    if sums.sessions > 1 and 0 < rate < 1 and spread > 0:
        variance = sums.sessions / (sums.sessions - 1) * spread / (sums.n * sums.n)
        trials = min(sums.n, rate * (1 - rate) / variance)
    found = wilson(rate * trials, trials)
    return found.model_copy(update={"value": rate})


def paired_difference(mean: float | None, deviation: float | None, n: int) -> Difference:
    """Return the mean of `n` differences between pairs with its interval, by Student's t.

    Args:
        mean: Of the differences; none where there are none.
        deviation: Theirs, of a sample; none where there are fewer than two.
    """
    if n < LEAST_FOR_T or mean is None or deviation is None:
        return Difference(mean=None, low=None, high=None, n=n, left_out=f"fewer than {LEAST_FOR_T} users")
    half = t_quantile(n - 1) * deviation / sqrt(n)
    return Difference(mean=mean, low=mean - half, high=mean + half, n=n)


def t_quantile(degrees: int) -> float:
    """Return Student's t of 97.5 % to four digits, for nine degrees of freedom or more (Abramowitz, Stegun: 26.7.5)."""
    z, v = Z, degrees
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * v**4)
    )
