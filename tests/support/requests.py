"""Hypothesis strategies: requests to generate, in every mode and with knobs of every kind."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.support.toy import VOCAB

PROMPTS = st.lists(st.integers(2, VOCAB - 1), min_size=1, max_size=12)
MODES = ("auto", "autoregressive", "diffusion", "self_speculation")


def knobs(mode: str, draw: st.DrawFn) -> dict[str, Any]:
    if mode == "autoregressive":
        return {}
    block = draw(st.integers(1, 12))
    chosen: dict[str, Any] = {"block_length": block}
    if mode == "auto":
        return chosen
    if mode == "self_speculation" and block > 1 and draw(st.booleans()):
        return {"speculation": "quadratic", **draw(st.sampled_from([{}, chosen]))}
    if draw(st.booleans()):
        chosen["denoise_steps"] = draw(st.integers(1, block))
    rule = draw(st.sampled_from(["threshold", "steps", "leftmost", "entropy", "margin"]))
    chosen["reveal"] = rule
    if rule != "steps" and draw(st.booleans()):
        chosen["threshold"] = draw(st.floats(0, 1))
    if mode == "diffusion" and draw(st.booleans()):
        chosen |= {"revise_rounds": draw(st.integers(1, 3)), "accept": draw(st.sampled_from(["likelihood", "always"]))}
        bound: st.SearchStrategy[dict[str, Any]] = st.one_of(
            st.just({}), st.fixed_dictionaries({"revise_fraction": st.floats(0, 1)})
        )
        chosen |= draw(bound) or {"revise_threshold": draw(st.floats(-20, 0))}
    return chosen


@st.composite
def requests(draw: st.DrawFn, mode: str | None = None) -> dict[str, Any]:
    mode = mode or draw(st.sampled_from(MODES))
    asked = {"mode": mode, "input_ids": draw(PROMPTS), "max_tokens": draw(st.integers(1, 40)), **knobs(mode, draw)}
    if draw(st.booleans()):
        asked |= {"temperature": draw(st.floats(0.1, 2)), "seed": draw(st.integers(0, 2**40))}
        asked |= draw(st.sampled_from([{}, {"top_k": 5}, {"top_p": 0.8}, {"min_p": 0.1}]))
    penalties: list[dict[str, Any]] = [{"repetition_penalty": 1.3}, {"presence_penalty": 0.5, "frequency_penalty": 0.2}]
    asked |= draw(st.sampled_from([{}, *penalties]))
    if draw(st.booleans()):
        asked |= {"max_thinking_tokens": draw(st.integers(0, 20)), "end_think_token_id": 5}
    return asked | draw(rules(asked["max_tokens"]))


@st.composite
def rules(draw: st.DrawFn, most: int) -> dict[str, Any]:
    """Fields that say which tokens may be chosen; they always leave some."""
    if draw(st.booleans()):
        return {}
    tokens = st.integers(2, VOCAB - 1)
    biases = st.dictionaries(st.builds(str, tokens), st.floats(-10, 10), max_size=20)
    return draw(
        st.fixed_dictionaries(
            {},
            optional={
                "logit_bias": biases,
                "bad_token_ids": st.lists(tokens, max_size=20),
                "bad_words": st.lists(st.text("ab01é ", min_size=1, max_size=3), max_size=5),
                "min_tokens": st.integers(0, most),
            },
        )
    )
