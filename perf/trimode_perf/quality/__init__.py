"""The quality table of a checkpoint: every held-out prompt through the product itself, counted and checked."""
