"""A validation as one run: train the arms, ask them, and hold predictions against what came out."""
