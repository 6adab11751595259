"""Training data: tasks, sources, tokenizer, packing, batches, archives."""
