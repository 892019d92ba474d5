import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from assay.cli import main
from tests.runs.lab import Lab, make_lab


@dataclass(frozen=True)
class Said:
    """How a command ended: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one sentence or two of an error, without what was noted before it."""
        assert "Traceback" not in self.err
        lines = [line for line in self.err.splitlines() if line.startswith("assay: ")]
        assert len(lines) == 1, self.err
        return lines[0].removeprefix("assay: ")


Assay = Callable[..., Said]


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return make_lab(tmp_path_factory.getbasetemp() / "lab")


@pytest.fixture
def assay(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Assay:
    """Run the command line in this process, as its entry point does."""

    def run(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["assay", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Said(ended.value.code or 0, out, err)  # type: ignore[arg-type]

    return run
