"""Real optimizer steps on a model, what they do to the loss of queries, and the way back."""
