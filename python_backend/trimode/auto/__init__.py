"""Mode auto: what drafts and calls are worth, and which choice gives the most tokens a second."""


def __getattr__(name: str) -> object:
    """Return a name from when this was one module, with a warning; for one release."""
    from ..moved import find, warn

    found = find(__name__, name)
    warn(__name__)
    return found
