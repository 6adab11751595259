"""Checkpoints as Hugging Face lays them out: config, tensors, draft adapter."""
