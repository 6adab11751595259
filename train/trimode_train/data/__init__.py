"""What a model learns from: tasks, texts, tokenizer, documents, batches, archives. Knows nothing about training."""
