"""The names of the reveal rules: the shipped ones, and those that the server adds. Knows no rule.

decoding/reveal.py loads the rules.
"""

from __future__ import annotations

from pathlib import Path
from pkgutil import iter_modules

from .rule_files import rule_files


def _reveal_rules() -> tuple[str, ...]:
    """Return the names of the rules in decoding/reveal_rules/: a new file there is a new rule, here and everywhere.

    Only names are read, since the rules need numpy. Messages and help have always listed the first five in this order.
    """
    folder = Path(__file__).parents[1] / "decoding" / "reveal_rules"
    modules = [module for module in iter_modules([str(folder)]) if not module.ispkg and module.name.isidentifier()]
    found = {module.name for module in modules} - {"base"}
    if "threshold" not in found:
        raise ImportError(f"{folder} does not hold the reveal rules; the installation is not complete")
    first = [name for name in ("threshold", "steps", "leftmost", "entropy", "margin") if name in found]
    return (*first, *sorted(found - set(first)))


SHIPPED_REVEALS = _reveal_rules()
"""Names of the reveal rules in decoding/reveal_rules/, so that a new file there is a new rule everywhere."""
REVEALS = tuple(dict.fromkeys((*SHIPPED_REVEALS, *(path.stem for path in rule_files()))))
"""Names of all reveal rules: the shipped ones, and the files that TRIMODE_REVEAL_RULES names in this process."""
