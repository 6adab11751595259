"""What must hold of a measurement, and whether it does. Knows nothing of what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """One claim with its figures. `known` is why it fails, where that is no defect of what is measured."""

    text: str
    holds: bool
    known: str = ""

    @property
    def line(self) -> str:
        """The claim as it is printed."""
        if self.holds:
            return f"pass  {self.text}"
        return f"FAIL  {self.text}" + (f" (known: {self.known})" if self.known else "")


def text(claims: Iterable[Claim]) -> str:
    """Return the claims as lines."""
    return "\n".join(claim.line for claim in claims)


def figure(value: float, bound: float, digits: int = 2) -> str:
    """Return a figure with as many digits as tell it from its bound, four at most."""
    while digits < 4 and value != bound and round(value, digits) == bound:
        digits += 1
    return f"{value:.{digits}f}"


def summary(claims: Sequence[Claim]) -> str:
    """Return how many hold: "9 of 23 hold"."""
    return f"{sum(claim.holds for claim in claims)} of {len(claims)} hold"


def unexpected(claims: Iterable[Claim]) -> list[Claim]:
    """Return the claims that fail without a known reason."""
    return [claim for claim in claims if not claim.holds and not claim.known]


def conclusion(claims: Sequence[Claim]) -> int:
    """Print the claims and how many hold; return the exit status, 1 where one fails without a known reason."""
    print(f"{text(claims)}\n{summary(claims)}")
    return 1 if unexpected(claims) else 0
