"""Requests that nobody wrote, over every face of a server: it answers or refuses all, and stays right."""
