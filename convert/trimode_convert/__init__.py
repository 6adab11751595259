"""Hugging Face checkpoint in, engine bundle out. Needs no PyTorch; never holds a whole model in memory."""
