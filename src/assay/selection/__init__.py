"""Which examples to keep, by scores and rules, with a reason for each. Knows no models and no files."""
