"""The command line: parse, call the library, print. Every command is a file of its own."""

from assay.cli.process import settle_process


def main() -> None:
    """The `assay` command."""
    settle_process()
    from assay.cli.app import main as run

    run()
