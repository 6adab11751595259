"""Keep a run of candidates from the left, for as long as they reach the threshold."""

from __future__ import annotations

from .base import Rule, confidence

RULE = Rule(confidence, from_the_left=True)
