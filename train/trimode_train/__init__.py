"""How `checkpoints/nano` is made: data by code, tokenizer, joint objective, training run, export."""
