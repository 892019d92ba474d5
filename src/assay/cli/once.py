"""A command that refuses an option of one value given twice, where the last would silently win.

Knows no command by name.
"""

from typing import Any

from typer.core import TyperCommand, TyperOption

from assay.errors import ConfigError


class OnceEach(TyperCommand):
    """Raises ConfigError for a repeated option, unless it is repeatable or a switch without a value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _, _, given = self.make_parser(ctx).parse_args(args=list(args))
        for option in given:
            single = isinstance(option, TyperOption) and not option.multiple and not option.is_flag
            if single and given.count(option) > 1:
                raise ConfigError(f"{max(option.opts, key=len)} is given twice; give it once.")
        return super().parse_args(ctx, args)
