"""What a person is told when something is wrong with their input.

Every message is one clear sentence or two: what is wrong, where, and what to do. The command line
prints it without a traceback; a programmer catches `AssayError` or one of its kinds.
"""


class AssayError(Exception):
    """Base of every error that a person, not a programmer, has to mend."""


class DataError(AssayError):
    """A data file, a row of it, or its labels."""


class ModelError(AssayError):
    """A model, an adapter, a checkpoint folder or a tokenizer."""


class ConfigError(AssayError):
    """An option or a configuration file."""


class NumericsError(AssayError):
    """A loss or gradient that is not finite; names the example's id."""


class ResumeError(AssayError):
    """A run folder that was made with other settings; names the field that differs."""
