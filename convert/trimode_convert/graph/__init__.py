"""The model as an ONNX graph: layers, rotation, heads, and the precisions of its products. Reads no tensor.

Its names are imported when they are asked for: rope.py needs no package that draws a graph.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .model import Blueprint, draw

__all__ = ["Blueprint", "draw"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import model

    return getattr(model, name)
