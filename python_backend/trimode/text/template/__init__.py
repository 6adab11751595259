"""Chat templates: which chats are rendered in place, and the process that renders the others."""
