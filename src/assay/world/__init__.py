"""The embedded world: tasks with exact answers, strategies, a tokenizer, a tiny base model."""

from assay.world.demo import DEMO_PROBES, DemoInputs, demo_inputs, write_examples
from assay.world.examples import QUERY_SETS, base_examples, make_examples, query_examples
from assay.world.problem import Draft, Problem, Task
from assay.world.recipe import world_recipe
from assay.world.shipped import base_model_path
from assay.world.strategies import STRATEGIES, Around, Strategy, Turns
from assay.world.tasks import DEMO_TASKS, TASKS
from assay.world.words import World, make_world

__all__ = [
    "DEMO_PROBES",
    "DEMO_TASKS",
    "QUERY_SETS",
    "STRATEGIES",
    "TASKS",
    "Around",
    "DemoInputs",
    "Draft",
    "Problem",
    "Strategy",
    "Task",
    "Turns",
    "World",
    "base_examples",
    "base_model_path",
    "demo_inputs",
    "make_examples",
    "make_world",
    "query_examples",
    "world_recipe",
    "write_examples",
]
