"""Training the draft adapter."""
