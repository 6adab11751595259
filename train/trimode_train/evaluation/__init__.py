"""How well a model does while it is trained: the three decoding loops in torch, and scores. Knows no training."""
