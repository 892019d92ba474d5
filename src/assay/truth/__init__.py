"""How often predictions come true: strategies really trained on, and predictions held against that."""
