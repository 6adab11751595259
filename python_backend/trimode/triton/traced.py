"""Traced: the trace of one request of the model, and what it says, by the semantic conventions for generative AI.

Prompts and answers are never among it.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..api.answer import Chunk
from ..api.params import GenerationParams
from ..errors import TrimodeError
from ..tracing.request_trace import Attributes, RequestTrace

OPERATIONS = {"messages": "chat"}
"""gen_ai.operation.name by the field that holds the prompt; every other prompt is a text that goes on or is changed."""
TEXT = "text_completion"
SHOWN = ("temperature", "top_p", "top_k", "seed")
"""Fields whose values a span has."""
PROVIDER = "trimode"


class Traced:
    """One request of `model`.

    Attributes:
        trace: notes its passes.
    """

    def __init__(self, model: str, trace: RequestTrace) -> None:
        self.trace = trace
        self._model = model
        self._given: dict[str, int | float] = {}
        self._operation = TEXT

    def read(self, given: Mapping[str, object]) -> None:
        """Note what a request asked for, by its fields; prompts are not kept."""
        self._operation = next((OPERATIONS[name] for name in OPERATIONS if name in given), TEXT)
        self._given = {name: value for name in SHOWN if isinstance(value := given.get(name), int | float)}

    def ended(self, chunk: Chunk, params: GenerationParams, outcome: str) -> None:
        """End the trace with the last chunk; `outcome` is how the metrics count the request."""
        counters = chunk.counters
        made = self._beginning() | {
            "gen_ai.output.type": "text",
            "gen_ai.request.max_tokens": params.max_tokens,
            "gen_ai.usage.input_tokens": chunk.num_input_tokens,
            "gen_ai.usage.output_tokens": counters.output_tokens,
            "gen_ai.usage.cache_read.input_tokens": counters.cached_tokens,
            "trimode.mode": str(params.kind),
            "trimode.outcome": outcome,
            "trimode.forwards": counters.forwards,
            "trimode.drafted_tokens": counters.total_draft_tokens,
            "trimode.accepted_tokens": counters.total_accepted_draft_tokens,
        }
        if chunk.finish_reason:
            made["gen_ai.response.finish_reasons"] = [chunk.finish_reason]
        self.trace.end(self.trace, made, chunk.error.error_type if chunk.error else "")

    def refused(self, error: TrimodeError) -> None:
        """End the trace of a request that was not queued."""
        self.trace.end(self.trace, self._beginning(), error.error_type)

    def _beginning(self) -> Attributes:
        return {
            "gen_ai.operation.name": self._operation,
            "gen_ai.provider.name": PROVIDER,
            "gen_ai.request.model": self._model,
            **{f"gen_ai.request.{name}": value for name, value in self._given.items()},
        }
