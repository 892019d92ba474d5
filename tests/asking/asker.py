"""A process of its own that asks an endpoint sixty two-step jobs, to be killed while it does.

python -m tests.asking.asker URL CACHE OUT
"""

import json
import sys
from pathlib import Path

from assay.asking.cache import Cache
from assay.asking.drive import drive
from assay.asking.endpoint import Endpoint
from tests.asking.servers import job

JOBS = 60


def main(url: str, cache: str, out: str) -> None:
    endpoint = Endpoint(url, "m", concurrency=4, timeout=30.0)
    jobs = (job(f"first {number} ", f"then {number} ") for number in range(JOBS))
    outcomes = list(drive(jobs, {"writer": endpoint}, Cache(Path(cache))))
    endpoint.close()
    Path(out).write_text(json.dumps([[reply.text for reply in replies] for replies in outcomes]))


if __name__ == "__main__":
    main(*sys.argv[1:])
