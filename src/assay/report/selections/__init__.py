"""A selection arranged for reading: what decided, reasons, changes, examples. Knows no HTML."""
