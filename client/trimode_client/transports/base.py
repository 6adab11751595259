"""The contract of every transport: Transport, AsyncTransport, the Health of a server, and the two protocols.

Knows no socket; each transport has a file of its own.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from trimode.api.fields import Mode

from .time_limits import TimeLimits

Wire = Literal["grpc", "http"]


@dataclass(frozen=True)
class Health:
    """The state that a server reports.

    Attributes:
        live: its process is up.
        ready: all of its models are loaded.
        model_ready: this model takes requests.
        reason: why requests cannot be sent; empty when they can.
        modes: those that the model has; empty while that is not known. A checkpoint that was not trained to denoise
            lacks diffusion, self_speculation, infill and revise.
    """

    live: bool
    ready: bool
    model_ready: bool
    reason: str = ""
    modes: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def from_answers(
        cls, url: str, live: bool, ready: bool, model_ready: bool, *, reason: str = "", modes: tuple[str, ...] = ()
    ) -> Health:
        """Return what the server at `url` answered; `reason` is why an answer is missing."""
        if not (reason or (live and ready and model_ready)):
            reason = f"the {'model' if ready else 'server'} at {url} is not ready"
        return cls(live, ready, model_ready, reason, modes)

    @property
    def ok(self) -> bool:
        """Whether requests can be sent."""
        return self.live and self.ready and self.model_ready


def modes_of(named: str | None) -> tuple[str, ...]:
    """Return the modes that the parameter of a model's config names; without the parameter all."""
    return tuple(named.split(",")) if named else tuple(Mode)


class Transport(Protocol):
    """The blocking side. Closing the generator cancels the request."""

    def responses(self, fields: Mapping[str, Any], limits: TimeLimits) -> Generator[dict[str, Any], None, None]:
        """Send one request and yield its responses."""

    def health(self, timeout: float) -> Health:
        """Ask for the state within `timeout` seconds; an address where nobody answers is not live."""

    def close(self) -> None:
        """Drop the connections."""


class AsyncTransport(Protocol):
    """The asyncio side. Closing the generator cancels the request."""

    def responses(self, fields: Mapping[str, Any], limits: TimeLimits) -> AsyncGenerator[dict[str, Any], None]:
        """Send one request and yield its responses."""

    async def health(self, timeout: float) -> Health:
        """Ask for the state within `timeout` seconds; an address where nobody answers is not live."""

    async def close(self) -> None:
        """Drop the connections."""
