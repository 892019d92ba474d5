"""The command line."""


def main() -> None:
    raise SystemExit("assay: under construction")
