"""A judge's words, cases for it, and a process of its own that asks it, to be killed while it does.

python -m tests.judging.bench URL CACHE OUT
"""

import json
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from assay.judging.judgement import Case
from assay.runs.judging import JudgeConfig, judge_answers
from tests.asking.servers import say

CASES = 60


def answer_in(body: dict[str, Any]) -> str:
    """The answer that a request wants to be judged."""
    return re.findall(r"\[(\w{8}) ANSWER\]\n(.*?)\n\[\1 end\]", body["messages"][0]["content"], re.DOTALL)[0][
        1
    ]


def verdict(right: bool, **how: Any):
    return say(json.dumps({"reason": "it fits" if right else "it misses", "verdict": int(right)}), **how)


def cases() -> list[Case]:
    """Answers 0 to 59 to two questions in turn."""
    return [
        Case(f"q{number}", f"question {number % 2}", "golden", f"answer {number}", ("is short",))
        for number in range(CASES)
    ]


def main(url: str, cache: str, out: str) -> None:
    config = JudgeConfig(endpoint=url, model="m", concurrency=4, timeout=30.0)
    found = judge_answers(cases(), config, Path(cache))
    Path(out).write_text(json.dumps([asdict(one) for one in found.verdicts]))


if __name__ == "__main__":
    main(*sys.argv[1:])
