"""Turns a Hugging Face checkpoint into an engine bundle. Needs no PyTorch and never holds a whole model in memory."""
