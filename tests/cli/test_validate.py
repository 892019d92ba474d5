"""`assay validate` as a person runs it: to a report, again without work, and every mistake a sentence."""

from pathlib import Path

import pytest
import yaml

from assay.runs.validation.config import validate_config
from tests.cli.conftest import Assay
from tests.runs.validation.world import config, make_world, settings


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def arms(world: Path) -> Path:
    asked = settings(world, arms=["base", "base+cot"], seeds=1)
    kept = {name: asked[name] for name in ("sets", "arms", "recipe", "max_new_tokens", "device", "seeds")}
    (world / "arms.yaml").write_text(yaml.safe_dump(kept))
    return world / "arms.yaml"


def command(world: Path, arms: Path, out: Path, *more: object) -> list[object]:
    queries = [
        "--queries",
        world / "queries.jsonl",
        "--queries",
        f"bad={world / 'neg.jsonl'}",
        "--undesired",
        "bad",
    ]
    model = ["--base-model", world / "model"]
    return ["validate", "--arms", arms, *model, *queries, "--out", out, *more]


def test_from_arms_to_a_report_and_again_without_training(
    assay: Assay, world: Path, arms: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = assay(*command(world, arms, out))
    assert first.code == 0, first.err
    assert "seed 0" in first.err
    assert "base+cot" in first.out
    assert f"Report: {out / 'report.html'}" in first.out
    assert "base+cot" in (out / "report.html").read_text()
    written = {path.name for path in out.iterdir()}
    assert {"answers.parquet", "validation.json", "config.yaml", "settings.json", "arms"} <= written
    before = (out / "answers.parquet").read_bytes()
    again = assay("validate", "--arms", out / "config.yaml", "--out", out)
    assert again.code == 0, again.err
    assert "seed 0" not in again.err
    assert (out / "answers.parquet").read_bytes() == before


def test_options_go_before_the_file(assay: Assay, world: Path, arms: Path, tmp_path: Path) -> None:
    said = assay(*command(world, arms, tmp_path / "out", "--seeds", 2, "--answers", "none"))
    assert said.code == 0, said.err
    kept = yaml.safe_load((tmp_path / "out" / "config.yaml").read_text())
    assert (kept["seeds"], kept["answers"]) == ([0, 1], "none")


def test_what_is_written_as_config_gives_the_same_settings_again(world: Path) -> None:
    from assay.runs.validation.config import config_text

    asked = config(world, judge={"endpoint": "http://x/v1", "model": "m"}, study="s", design="in-task")
    assert validate_config(yaml.safe_load(config_text(asked))) == asked


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--seeds", "0"], "--seeds: at least one seed is needed"),
        (["--match", "time"], "--match: input should be 'steps', 'tokens' or 'examples'"),
        (["--undesired", "worse"], "--undesired: 'worse' is no query set"),
        (["--design", "cross-task"], "'clarify', which is not among the sets"),
        (["--study", "nowhere"], "--study nowhere: there is no study.json"),
        (["--judge-model", "m"], "judge"),
        (["--judge-pairs"], "name the judge (--judge-endpoint URL --judge-model NAME)"),
    ],
)
def test_a_mistake_is_a_sentence(
    assay: Assay, world: Path, arms: Path, tmp_path: Path, more: list[str], says: str
) -> None:
    said = assay(*command(world, arms, tmp_path / "out", *more))
    assert said.code == 2
    assert says in said.complaint
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("left_out", "says"),
    [("--arms", "Give --arms FILE"), ("--base-model", "Give --base-model"), ("--out", "with --out")],
)
def test_what_is_needed_is_asked_for(
    assay: Assay, world: Path, arms: Path, tmp_path: Path, left_out: str, says: str
) -> None:
    whole = command(world, arms, tmp_path / "out")
    place = whole.index(left_out)
    said = assay(*whole[:place], *whole[place + 2 :])
    assert said.code == 2
    assert says in said.complaint
