"""Ways of scoring examples. Knows no files and no trainers."""
