"""Keep the surest candidates and all above the threshold: the released models' own rule (`generate`)."""

from __future__ import annotations

from .base import Rule, confidence

RULE = Rule(confidence)
