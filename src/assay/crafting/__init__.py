"""Probe examples of a data strategy made from reference examples, by a language model or from columns."""
