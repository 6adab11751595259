"""Mode auto: what drafts and calls are worth, and which choice gives the most tokens a second."""
