"""In-context influence: what a demonstration does for other examples, by forward passes. Knows no files."""
