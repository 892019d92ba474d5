"""From settings to a run folder: where the rooms meet. Nothing below knows of it."""
