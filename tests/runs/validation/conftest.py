from pathlib import Path

import pytest

from assay.runs.validation import run as module
from tests.runs.validation.world import config, make_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(autouse=True)
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than training here, and is not what is tested."""
    monkeypatch.setattr(module, "write_validation_report", lambda result, folder: folder / "report.html")


@pytest.fixture(scope="session")
def finished(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "write_validation_report", lambda result, folder: folder / "report.html")
        module.run_validation(config(world), out)
    return out
