"""How far scores agree with what training really does: statistics alone. Knows no models and no files."""
