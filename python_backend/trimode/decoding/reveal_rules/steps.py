"""Keep the surest candidates, as many as the steps left require: `generate` with `threshold=None`."""

from __future__ import annotations

from .base import Rule, confidence

RULE = Rule(confidence)
