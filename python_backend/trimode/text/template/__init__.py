"""Chat templates of strangers: which chats are harmless to render here, and the process that renders the others."""
