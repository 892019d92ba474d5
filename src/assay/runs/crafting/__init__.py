"""Craft as one run: references, strategies and models in; probe sets, control, queries and a study out."""
