"""A validation arranged for reading: tables, sentences, what chance was reckoned with. Knows no HTML."""
