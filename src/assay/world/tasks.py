"""The table of tasks. To add one, write a function (world, rng, difficulty) → Draft and give it a row."""

from assay.world.problem import Task
from assay.world.tasks_lists import code, count, replace, reverse, same, topic
from assay.world.tasks_numbers import add, compare, following, largest, sort, spell
from assay.world.tasks_people import record, swap

_ROWS = (
    Task("words", "write a number in words", spell),
    Task("reverse", "write a list of nouns backwards", reverse),
    Task("sort", "sort digits", sort),
    Task("max", "find the largest number", largest),
    Task("count", "count a noun in a list", count),
    Task("add", "add two numbers", add),
    Task("compare", "say who has most", compare),
    Task("swap", "follow who holds what through swaps", swap),
    Task("topic", "name the topic of most nouns in a list", topic),
    Task("replace", "replace a noun in a list", replace),
    Task("record", "read one field of a record", record),
    Task("same", "say whether two lists are the same", same),
    Task("next", "continue a row of numbers with a constant step", following),
    Task("code", "write nouns in the world's secret code", code),
)

TASKS: dict[str, Task] = {task.name: task for task in _ROWS}
DEMO_TASKS: tuple[str, ...] = tuple(TASKS)[:12]
