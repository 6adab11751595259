"""The soak: what is asked, what is compared, what is watched, and its page."""
