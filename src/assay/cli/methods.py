"""`assay methods`: the ways to score examples, with what each needs, costs and is good for."""

from typing import Annotated

import typer
from rich.table import Table

from assay.cli.console import output


def methods(
    name: Annotated[str | None, typer.Argument(help="One method, in full.", show_default=False)] = None,
) -> None:
    """List the methods of `assay score`, or tell all about one."""
    from assay.methods.table import METHODS, method_named

    if name is not None:
        row = method_named(name)
        output.print(f"{row.name}: {row.title}", style="bold", markup=False)
        for label, text in (
            ("score", row.formula),
            ("source", row.source),
            ("needs", row.needs),
            ("costs", row.cost),
            ("good for", row.good_for),
        ):
            output.print(f"  {label:<9} {text}", markup=False, soft_wrap=True)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("method", "needs", "costs", "good for"):
        table.add_column(heading, no_wrap=heading == "method")
    for row in METHODS.values():
        table.add_row(row.name, row.needs, row.cost, row.good_for)
    output.print(table)
    output.print("\nFormula and source of one: assay methods NAME", markup=False)
