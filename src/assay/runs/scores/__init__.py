"""A scoring of a whole pool, from settings to tables: pool on disk, measures, scores. Knows no arithmetic."""
