"""Benchmark tasks as local files: found, refused where they would fetch anything, told apart by content."""

from pathlib import Path

import pytest
import yaml

from assay.errors import ConfigError
from assay.runs.validation.benchmark_tasks import read_benchmarks


def task(folder: Path, name: str = "quiz", **changes: object) -> Path:
    """A task's YAML with its data beside it."""
    data = folder / "quiz.jsonl"
    data.write_text('{"q": "1+1", "a": "2"}\n')
    told = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        **changes,
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in told.items() if value is not None}))
    return path


def test_a_folder_gives_its_tasks_and_passes_over_groups_and_parts(tmp_path: Path) -> None:
    task(tmp_path, "one")
    task(tmp_path, "two")
    (tmp_path / "part.yaml").write_text("output_type: multiple_choice\n")
    (tmp_path / "group.yaml").write_text("group: both\ntask: [one, two]\n")
    assert [one.name for one in read_benchmarks([str(tmp_path)])] == ["one", "two"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"dataset_path": "allenai/ai2_arc"},
            "takes its data from 'allenai/ai2_arc', which is no folder here",
        ),
        ({"dataset_path": None}, "names no data"),
        ({"dataset_kwargs": None}, "names no data files"),
        ({"dataset_kwargs": {"data_files": "https://x.org/a.jsonl"}}, "from an address of the network"),
        ({"dataset_kwargs": {"data_files": ["gone.jsonl"]}}, "reads gone.jsonl, which is not there"),
        ({"custom_dataset": "code.make"}, "by Python code"),
        ({"class": "code.Task"}, "by Python code"),
        ({"metric_list": [{"metric": "rouge", "hf_evaluate": True}]}, "fetches the metric 'rouge'"),
        ({"task": ["one", "two"]}, "names no single task"),
    ],
)
def test_a_task_that_does_not_lie_here_is_refused_in_words(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError, match=r"--benchmarks") as raised:
        read_benchmarks([str(task(tmp_path, **changes))])  # type: ignore[arg-type]
    assert said in str(raised.value)


def test_a_place_without_a_task_and_a_name_twice_are_refused(tmp_path: Path) -> None:
    for place in (tmp_path / "gone.yaml", tmp_path):
        with pytest.raises(ConfigError, match=r"no such file|names a task"):
            read_benchmarks([str(place)])
    (tmp_path / "other").mkdir()
    with pytest.raises(ConfigError, match=r"'quiz' is there twice"):
        read_benchmarks([str(task(tmp_path)), str(task(tmp_path / "other"))])
    (tmp_path / "broken.yaml").write_text("task: [")
    with pytest.raises(ConfigError, match=r"cannot be read as YAML"):
        read_benchmarks([str(tmp_path / "broken.yaml")])


def test_the_digest_follows_the_data_what_is_included_and_python_beside_the_file(tmp_path: Path) -> None:
    path = task(tmp_path)
    (tmp_path / "part.yaml").write_text("output_type: multiple_choice\n")
    (tmp_path / "code.py").write_text("def text(doc): return doc['q']\n")
    with path.open("a") as file:
        file.write("include: part.yaml\ndoc_to_text: !function code.text\n")
    seen = {read_benchmarks([str(path)])[0].digest}
    for changed in ("quiz.jsonl", "part.yaml", "code.py", "quiz.yaml"):
        with (tmp_path / changed).open("a") as file:
            file.write("# more\n")
        seen.add(read_benchmarks([str(path)])[0].digest)
    assert len(seen) == 5


def test_data_files_may_be_a_pattern_or_a_folder(tmp_path: Path) -> None:
    path = task(tmp_path, dataset_kwargs={"data_files": str(tmp_path / "*.jsonl")})
    before = read_benchmarks([str(path)])[0].digest
    (tmp_path / "more.jsonl").write_text("{}\n")
    assert read_benchmarks([str(path)])[0].digest != before
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "test.jsonl").write_text("{}\n")
    assert read_benchmarks([str(task(tmp_path, "whole", dataset_path=str(folder), dataset_kwargs=None))])
