"""What is recorded of a request, and what comes out when it is published."""

from __future__ import annotations

from trimode.api.answer import Chunk, Timing
from trimode.api.counters import Counters, StepTally
from trimode.errors import OverloadedError
from trimode.metrics.recorder import Recorder, Sample
from trimode.metrics.table import (
    ACCEPTED_FREE,
    DECODE,
    FIRST_CHUNK,
    FREE_DRAFT_TOKENS,
    INFERENCE,
    INTER_CHUNK,
    INTER_TOKEN,
    MOST_TOKENS,
    OUTPUT_TOKENS,
    PER_TOKEN,
    PREFILL,
    PREFIX_HITS,
    QUEUE,
    REQUESTS,
    RUNNING,
    STEP_TOKENS,
    VERIFICATIONS,
    Metric,
)


def tally(samples: list[Sample], metric: Metric) -> dict[str, float]:
    """What a tallied histogram got, by bucket, and its sum as ""."""
    return {sample.le or "": sample.value for sample in samples if sample.metric is metric}


def test_counters_are_summed_gauges_are_the_newest_and_observations_stay() -> None:
    recorder = Recorder()
    for tokens in (3, 4):
        recorder.first_chunk("diffusion", 0.5)
        recorder.answered("diffusion", "stop", 1.0, Chunk(counters=Counters(output_tokens=tokens)), 10)
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


def test_a_tallied_histogram_counts_by_bucket_of_which_the_bound_belongs_to_it() -> None:
    recorder = Recorder()
    for most in (1, 2, 3, 60_000):
        recorder.answered("diffusion", "stop", 1.0, Chunk(), most)
    assert tally(recorder.drain(), MOST_TOKENS) == {"1.0": 1, "2.0": 1, "5.0": 1, "+Inf": 1, "": 60_006}


def test_steps_that_another_thread_counts_are_published_by_what_they_grew() -> None:
    recorder, counted = Recorder(), StepTally()
    for tokens in (0, 1, 2, 8, 9, 100_000):
        counted.add(tokens)
    recorder.steps(counted)
    assert tally(recorder.drain(), STEP_TOKENS) == {"1.0": 2, "8.0": 2, "16.0": 1, "+Inf": 1, "": 100_020}
    counted.add(7)
    recorder.steps(counted)
    assert tally(recorder.drain(), STEP_TOKENS) == {"8.0": 1, "": 7}
    recorder.steps(counted)
    assert recorder.drain() == []


def test_the_times_of_an_answer_are_those_between_its_moments() -> None:
    """Queued for 2 s; the first 4 tokens 1 s later, then 2 after 0.5 s and 1 after 0.1 s."""
    timing = Timing(submitted=100.0, admitted=102.0)
    for tokens, now in ((4, 103.0), (2, 103.5), (1, 103.6)):
        timing.gave(tokens, now)
    recorder = Recorder()
    recorder.answered("diffusion", "stop", 4.0, Chunk(timing=timing), 10)
    samples = recorder.drain()
    assert tally(samples, QUEUE) == {"2.5": 1, "": 2.0}
    assert tally(samples, PREFILL) == {"1.0": 1, "": 1.0}
    assert round(tally(samples, DECODE)[""], 6) == 0.6 and round(tally(samples, INFERENCE)[""], 6) == 1.6
    chunks, tokens_ = tally(samples, INTER_CHUNK), tally(samples, INTER_TOKEN)
    assert sum(chunks[le] for le in chunks if le) == 2 and round(chunks[""], 6) == 0.6
    assert sum(tokens_[le] for le in tokens_ if le) == 3 and round(tokens_[""], 6) == 0.6
    assert tokens_["0.25"] == 2  # two tokens in 0.5 s
    assert round(tally(samples, PER_TOKEN)[""], 6) == 0.2


def test_a_request_that_never_had_a_slot_has_waited_only() -> None:
    recorder = Recorder()
    recorder.answered("diffusion", "deadline", 4.0, Chunk(timing=Timing(submitted=0.0)), 10)
    samples = recorder.drain()
    assert tally(samples, QUEUE)[""] > 0
    assert tally(samples, PREFILL) == tally(samples, DECODE) == {}


def test_verifications_count_by_the_tokens_that_they_kept() -> None:
    recorder = Recorder()
    recorder.answered("self_speculation", "stop", 1.0, Chunk(counters=Counters(acceptance=(3, 0, 2))), 10)
    found = {sample.labels: sample.value for sample in recorder.drain() if sample.metric is VERIFICATIONS}
    assert found == {("0",): 3, ("2",): 2}


def test_free_drafts_count_by_their_source() -> None:
    counters = Counters()
    counters.verified(7, 5, "prediction")
    counters.verified(3, 1, "prompt_lookup")
    recorder = Recorder()
    recorder.answered("autoregressive", "stop", 1.0, Chunk(counters=counters), 10)
    samples = recorder.drain()
    for metric, of_prediction, of_lookup in ((FREE_DRAFT_TOKENS, 7, 3), (ACCEPTED_FREE, 5, 1)):
        found = {sample.labels: sample.value for sample in samples if sample.metric is metric}
        expected = {"prediction": of_prediction, "prompt_lookup": of_lookup}
        assert found == {("autoregressive", source): value for source, value in expected.items()}
