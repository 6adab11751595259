"""The network in torch, its checkpoints and the draft adapter's branch."""
