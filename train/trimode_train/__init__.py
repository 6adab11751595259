"""Makes `checkpoints/nano`: data by code, tokenizer, joint objective, training run, draft adapter, export."""
