"""The network in torch, its shape, its files, and the draft adapter's branch. Knows nothing about data or training."""
