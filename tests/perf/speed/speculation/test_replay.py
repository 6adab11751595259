"""Replays of nano's recorded drafts: exact counts, and what auto chooses on devices of several costs."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from trimode.decoding.quadratic_shape import QuadraticShape
from trimode_perf.speed.speculation.part import AUTO, WAYS, devices
from trimode_perf.speed.speculation.recording import Recording
from trimode_perf.speed.speculation.replay import Replay, replay

RECORDING = Recording.load().first(1)
DEVICES = devices(RECORDING)
WITHOUT = "auto without quadratic passes"


@cache
def on(device: str, way: str) -> Replay:
    fields, more = (WAYS | AUTO)[way]
    return replay(RECORDING, DEVICES[device], fields, **more)


@pytest.mark.parametrize("length", [8, 16, 32])
def test_linear_drafts_take_the_passes_that_their_runs_say(length: int) -> None:
    passes = 0
    for answer in RECORDING.answers:
        at = 1
        while at < len(answer.tokens):
            left = len(answer.tokens) - at
            passes += 2 if min(length, left) > 1 else 1  # one token that is left needs no draft
            at += min(answer.apart[length][at - 1], left - 1) + 1
    assert on("steep", f"linear {length}").passes == passes


@pytest.mark.parametrize("length", [8, 16])
def test_the_released_form_takes_the_passes_that_its_runs_say(length: int) -> None:
    passes = 0
    for answer in RECORDING.answers:
        at, run = 1, answer.ahead[length][0]
        while at < len(answer.tokens):
            passes += 1
            at += run + 1
            run = answer.ahead[length][at - 1] if at < len(answer.tokens) else 0
    assert on("flat", f"quadratic {length}").passes == pytest.approx(passes, abs=len(RECORDING.answers))


def test_on_a_flat_device_auto_takes_quadratic_passes_and_gains_over_linear_drafts() -> None:
    best = max(on("flat", f"linear {length}").rate for length in (8, 16, 32))
    auto = on("flat", "auto")
    assert auto.rate > 1.15 * best
    assert auto.rate > 1.15 * on("flat", WITHOUT).rate
    assert sum(count for name, count in auto.choices.items() if name.startswith("quadratic/")) > 50


def test_on_this_cpu_auto_does_not_take_the_released_form() -> None:
    """Which is slow there; two passes and a few masks are as good as linear drafts, or better."""
    auto = on("this CPU", "auto")
    assert on("this CPU", "quadratic 16").rate < 0.4 * on("this CPU", "linear 16").rate
    assert auto.largest <= 2 * 32 + 1
    assert auto.rate > on("this CPU", "quadratic 8").rate


def test_where_every_token_costs_the_same_auto_takes_none() -> None:
    auto = on("steep", "auto")
    assert not any(name.startswith("quadratic/") for name in auto.choices)
    assert auto.rate == on("steep", WITHOUT).rate


@pytest.mark.parametrize("device", DEVICES)
def test_auto_is_not_slower_where_it_may_choose_them(device: str) -> None:
    assert on(device, "auto").rate >= on(device, WITHOUT).rate


@pytest.mark.parametrize("more", [{}, {"shape": QuadraticShape.two_pass(8)}, {"quadratic": False}])
def test_a_replay_has_no_noise(more: dict[str, Any]) -> None:
    found = [replay(RECORDING, DEVICES["flat"], {"mode": "auto"}, **more) for _ in range(2)]
    assert found[0] == found[1]
