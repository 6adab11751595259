"""What a request may say and what comes back; the standard library only, so that clients can share it."""
