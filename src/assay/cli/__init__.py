"""The command line: parse, call the library, print. Every command is a file of its own."""

from assay.cli.app import main

__all__ = ["main"]
