"""Rules: what changes a row's logits before a token is chosen from them, one file each."""
