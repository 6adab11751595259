"""A GGUF file as a source of checkpoints: the container, its keys and names, its tokenizer. Needs the package gguf."""
