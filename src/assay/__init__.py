"""assay tells people who fine-tune language models what their data will do before they train on it."""

__version__ = "0.1.0"
