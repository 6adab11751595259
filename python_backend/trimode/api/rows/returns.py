"""What is sent back of a request, and when: the group of its fields. Knows nothing of how a response is made."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ReturnOptions:
    """What is sent back, and when."""

    stream: bool = False
    stream_provisional: bool = False
    stream_interval: int = 1
    stream_interval_ms: int = 0
    exclude_input_in_output: bool = True
    include_stop_str_in_output: bool = False
    skip_special_tokens: bool = True
    return_candidates: bool = False
    return_log_probs: bool = False
    log_probs_kind: str = "reveal"
    top_log_probs: int = 0
    return_prompt_log_probs: bool = False
    return_token_ids: bool = False
    return_num_input_tokens: bool = False
    return_num_output_tokens: bool = False
    return_finish_reason: bool = False
    return_perf_metrics: bool = False
    return_effective_params: bool = False

    @property
    def wants_probs(self) -> bool:
        """Whether it is wanted with what probability a place of a block was filled, returned or to be watched."""
        return self.return_log_probs or self.stream_provisional

    @property
    def causal_log_probs(self) -> bool:
        """Whether log-probabilities are asked for that a block gets from a causal pass alone."""
        return self.return_log_probs and self.log_probs_kind == "causal"
