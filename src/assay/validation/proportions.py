"""Shares of right answers: intervals and paired tests. Pure statistics; knows nothing of what was right."""

from dataclasses import dataclass
from math import sqrt

from scipy.stats import binomtest, norm

from assay.shares import wilson
from assay.validation.lds import Interval
from assay.validation.result import Share


def wilson_share(count: int, of: int, *, confidence: float = 0.95) -> Share:
    """`count` of `of` with Wilson's interval; none where nothing was counted."""
    if not 0 <= count <= of:
        raise ValueError(f"{count} of {of} is no share")
    if of == 0:
        return Share(0, 0, None, None, None)
    return Share(count, of, count / of, *wilson(count, of, confidence))


@dataclass(frozen=True, slots=True)
class Paired:
    """n pairs of answers: `won` right only in the second, `lost` right only in the first."""

    n: int
    won: int
    lost: int

    @property
    def p(self) -> float:
        """McNemar's exact test (1947), two-sided: the won are half of all that differ."""
        differing = self.won + self.lost
        return float(binomtest(self.won, differing, 0.5).pvalue) if differing else 1.0

    def difference(self, *, confidence: float = 0.95) -> Interval:
        """Second share minus first; the interval is Bonett and Price's (2012).

        It is a − b ± z √((a + b − (a − b)²) / (n + 2)), within −1 and 1, with a = (won + 1)/(n + 2) and
        b = (lost + 1)/(n + 2), so it does not shrink to a point where no pair differs.
        """
        z = float(norm.ppf((1 + confidence) / 2))
        a, b = (self.won + 1) / (self.n + 2), (self.lost + 1) / (self.n + 2)
        reach = z * sqrt((a + b - (a - b) ** 2) / (self.n + 2))
        return Interval((self.won - self.lost) / self.n, max(a - b - reach, -1.0), min(a - b + reach, 1.0))
