"""A result is plain data that JSON can hold."""

import json

from assay.validation.result import ArmSummary, Level, Measure, QuerySet, Row, ValidationResult


def test_a_result_is_json_and_numbers_that_are_not_finite_are_null() -> None:
    level = Level(float("nan"), None, None, "nothing", "no interval")
    result = ValidationResult(
        settings={"batch_size": 4, "sets": ("base", "cot")},
        models=("tiny",),
        seeds=(0,),
        match="steps",
        reference="base",
        arms=(ArmSummary("tiny", "base+cot", "pretrained", (("base", "cot"),), 3.0, 12.0, 80.0),),
        query_sets=(QuerySet("pos", "desired", 5, 2),),
        measures=(Measure("loss", "Loss", "nats per query", higher_is_better=False),),
        rows=(Row("tiny", "base", "pos", "desired", "loss", level, None),),
    )
    found = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert found["rows"][0]["level"]["value"] is None
    assert found["rows"][0]["effect"] is None
    assert found["arms"][0]["phases"] == [["base", "cot"]]
    assert found["settings"]["sets"] == ["base", "cot"]
    assert found["measures"] == [
        {"name": "loss", "title": "Loss", "unit": "nats per query", "higher_is_better": False}
    ]
