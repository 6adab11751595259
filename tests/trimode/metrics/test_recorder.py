"""What is recorded of a request, and what comes out when it is published."""

from __future__ import annotations

from trimode.api.counters import Counters
from trimode.errors import OverloadedError
from trimode.metrics.recorder import Recorder, Sample
from trimode.metrics.table import FIRST_CHUNK, OUTPUT_TOKENS, PREFIX_HITS, REQUESTS, RUNNING


def test_counters_are_summed_gauges_are_the_newest_and_observations_stay() -> None:
    recorder = Recorder()
    for tokens in (3, 4):
        recorder.first_chunk("diffusion", 0.5)
        recorder.answered("diffusion", "stop", 1.0, 10, Counters(output_tokens=tokens))
        recorder.level(RUNNING, tokens, ("0",))
    recorder.refused("default", OverloadedError("full"))
    samples = recorder.drain()
    assert Sample(OUTPUT_TOKENS, 7, ("diffusion",)) in samples
    assert Sample(REQUESTS, 2, ("diffusion", "stop")) in samples
    assert Sample(REQUESTS, 1, ("default", "overloaded")) in samples
    assert [sample.value for sample in samples if sample.metric is FIRST_CHUNK] == [0.5, 0.5]
    assert [sample.value for sample in samples if sample.metric is RUNNING] == [4]
    assert recorder.drain() == []


def test_a_count_that_somebody_else_keeps_is_published_by_what_it_grew() -> None:
    recorder = Recorder()
    recorder.total(PREFIX_HITS, 5.0, ("0",))
    recorder.total(PREFIX_HITS, 7.0, ("0",))
    recorder.total(PREFIX_HITS, 1.0, ("1",))
    assert [(sample.labels, sample.value) for sample in recorder.drain()] == [(("0",), 7), (("1",), 1)]
