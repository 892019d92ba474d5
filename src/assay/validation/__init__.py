"""How far predictions agree with what training really does: arms, their steps, statistics of what came out.

Knows no models and no files.
"""
