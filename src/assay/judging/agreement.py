"""How far a judge agrees with people: the share, its interval, and Cohen's kappa. Pure statistics.

The paper's judge agreed with people on about 87% of answers (arXiv 2502.13514, section 5).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from assay.errors import DataError
from assay.judging.judgement import Judgement
from assay.shares import wilson

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class HumanAgreement:
    """A judge beside people, over answers that both have judged.

    `share` of answers on which they agree, with Wilson's interval from `low` to `high`: answers are what was
    sampled. `kappa` is 1 for full agreement and 0 for what raters with these shares of right answers would
    reach by chance; None where chance alone agrees always. `judge_only` counts answers that the judge alone
    finds right, `people_only` those that people alone do. `without_verdict` and `without_label` count answers
    that only one side has judged.
    """

    both_right: int
    both_wrong: int
    judge_only: int
    people_only: int
    share: float
    low: float
    high: float
    kappa: float | None
    without_verdict: int
    without_label: int

    @property
    def answers(self) -> int:
        return self.both_right + self.both_wrong + self.judge_only + self.people_only


def agreement(
    judgements: Iterable[Judgement], labels: Mapping[str, bool], *, confidence: float = CONFIDENCE
) -> HumanAgreement:
    """Hold judgements against people's `labels`, both by the answer's id.

    Raises DataError for an id that is judged twice, and where no answer was judged by both.
    """
    verdicts: dict[str, bool | None] = {}
    for one in judgements:
        if one.example_id in verdicts:
            raise DataError(f"{one.example_id} is judged twice; give every answer an id of its own.")
        verdicts[one.example_id] = one.right
    pairs = [(right, labels[id]) for id, right in verdicts.items() if right is not None and id in labels]
    if not pairs:
        raise DataError("No answer was judged by the judge and by people; check the ids of the labels.")
    both_right, judge_only = pairs.count((True, True)), pairs.count((True, False))
    people_only, both_wrong = pairs.count((False, True)), pairs.count((False, False))
    n, agreeing = len(pairs), both_right + both_wrong
    low, high = wilson(agreeing, n, confidence)
    return HumanAgreement(
        both_right=both_right,
        both_wrong=both_wrong,
        judge_only=judge_only,
        people_only=people_only,
        share=agreeing / n,
        low=max(low, 0.0),
        high=min(high, 1.0),
        kappa=_kappa(agreeing, n, both_right + judge_only, both_right + people_only),
        without_verdict=sum(right is None for id, right in verdicts.items() if id in labels),
        without_label=sum(right is not None for id, right in verdicts.items() if id not in labels),
    )


def _kappa(agreeing: int, n: int, ours: int, theirs: int) -> float | None:
    """(p_o − p_e) / (1 − p_e) with p_e = p q + (1 − p)(1 − q), p and q the shares of right answers (Cohen
    1960); in whole numbers as far as they go."""
    chance = ours * theirs + (n - ours) * (n - theirs)
    return None if chance == n * n else (agreeing * n - chance) / (n * n - chance)
