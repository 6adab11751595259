"""Mode auto: what drafts and calls are worth, and which choice gives the most tokens a second."""


def __getattr__(name: str) -> object:
    """Find what stood here when this was one module; for one release."""
    from ..moved import find

    return find(__name__, name)
