"""Language models are asked: behind a server or in memory, many requests at once, every reply kept."""
