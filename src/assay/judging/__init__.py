"""Answers are judged by a language model, and the judge is held against people. Knows no files."""
