"""What scrapers get for what Triton says: histograms put together, the fronts' own metrics, and vLLM's names."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families
from trimode.errors import TrimodeError
from trimode.metrics import METRICS, QUEUE, VERIFICATIONS
from trimode.metrics.table import TALLY
from trimode.server.access.refusals import FACES, Refusals
from trimode.server.backend_client import BackendClient
from trimode.server.metrics_front.samples import Histogram, Samples
from trimode.server.metrics_front.source import MetricsSource, Model, Scraped
from trimode.server.metrics_front.vllm_names import TWINS, families

from tests.support.toy import manifest

OF_BUCKETS, OF_SUM = TALLY
TEXT = f"""\
# HELP nv_inference_count Number of inferences
# TYPE nv_inference_count counter
nv_inference_count{{model="m"}} 5
# HELP trimode_requests_total Requests
# TYPE trimode_requests_total counter
trimode_requests_total{{mode="auto",outcome="stop"}} 3
trimode_requests_total{{mode="diffusion",outcome="stop"}} 1
trimode_requests_total{{mode="diffusion",outcome="deadline"}} 2
# HELP trimode_forwards_total Passes
# TYPE trimode_forwards_total counter
trimode_forwards_total{{kind="verify",mode="auto"}} 7
trimode_forwards_total{{kind="denoise",mode="auto"}} 11
# HELP trimode_queue_seconds{OF_BUCKETS} Seconds
# TYPE trimode_queue_seconds{OF_BUCKETS} counter
trimode_queue_seconds{OF_BUCKETS}{{le="0.005",mode="auto"}} 2
trimode_queue_seconds{OF_BUCKETS}{{le="+Inf",mode="auto"}} 1
trimode_queue_seconds{OF_BUCKETS}{{le="0.01",mode="diffusion"}} 4
# HELP trimode_queue_seconds{OF_SUM} Seconds
# TYPE trimode_queue_seconds{OF_SUM} counter
trimode_queue_seconds{OF_SUM}{{mode="auto"}} 400.5
trimode_queue_seconds{OF_SUM}{{mode="diffusion"}} 0.03
# HELP trimode_request_seconds Seconds
# TYPE trimode_request_seconds histogram
trimode_request_seconds_count{{mode="auto"}} 3
trimode_request_seconds_sum{{mode="auto"}} 9
trimode_request_seconds_bucket{{mode="auto",le="1"}} 1
trimode_request_seconds_bucket{{mode="auto",le="5"}} 3
trimode_request_seconds_bucket{{mode="auto",le="+Inf"}} 3
# HELP trimode_slots Slots
# TYPE trimode_slots gauge
trimode_slots{{model_instance="a"}} 16
trimode_slots{{model_instance="b"}} 12
# HELP trimode_slots_used_ratio Share
# TYPE trimode_slots_used_ratio gauge
trimode_slots_used_ratio{{model_instance="a"}} 0.5
trimode_slots_used_ratio{{model_instance="b"}} 1
# HELP trimode_verifications_total Verifications
# TYPE trimode_verifications_total counter
trimode_verifications_total{{confirmed="0"}} 5
trimode_verifications_total{{confirmed="1"}} 3
trimode_verifications_total{{confirmed="3"}} 2
"""


class State:
    alive = True
    stopping = False


NANO_MODEL = Model("nano", manifest())


def shown(text: str = TEXT) -> str:
    refusals = Refusals()
    for _ in range(2):
        refusals.count("http", "unauthorized")
    made = MetricsSource([Scraped(BackendClient(1), State(), NANO_MODEL)], refusals)
    return made.shown([(NANO_MODEL, text)], refusals.counts()).decode()


def values(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


NANO = (("model_name", "nano"),)


def test_what_triton_says_stays_but_for_the_tallies() -> None:
    text = shown()
    assert text.startswith(TEXT.partition("# HELP trimode_queue")[0]) and "_tally" not in text


def test_a_tally_is_a_histogram_again() -> None:
    found = values(shown())
    assert found["trimode_queue_seconds_count"][(("mode", "auto"),)] == 3
    assert found["trimode_queue_seconds_sum"][(("mode", "auto"),)] == 400.5
    buckets = found["trimode_queue_seconds_bucket"]
    assert [buckets[(("le", le), ("mode", "auto"))] for le in ("0.005", "300.0", "+Inf")] == [2, 2, 3]


def test_a_histogram_of_vllm_is_the_sum_over_the_modes() -> None:
    found = values(shown())
    assert found["vllm:request_queue_time_seconds_count"][NANO] == 7
    buckets = found["vllm:request_queue_time_seconds_bucket"]
    assert [buckets[(("le", le), *NANO)] for le in ("0.005", "0.01", "+Inf")] == [2, 6, 7]
    found_native = values(shown())["vllm:e2e_request_latency_seconds_bucket"]
    assert [found_native[(("le", le), *NANO)] for le in ("1.0", "5.0", "+Inf")] == [1, 3, 3]


def test_finish_reasons_slots_and_places_of_drafts_have_vllms_meaning() -> None:
    found = values(shown())
    finished = found["vllm:request_success_total"]
    assert finished[(("finished_reason", "stop"), *NANO)] == 4
    assert finished[(("finished_reason", "abort"), *NANO)] == 2
    assert found["vllm:kv_cache_usage_perc"][NANO] == 0.75
    assert found["vllm:spec_decode_num_drafts_total"][NANO] == 7
    kept = found["vllm:spec_decode_num_accepted_tokens_per_pos_total"]
    assert [kept[(*NANO, ("position", place))] for place in "012"] == [5, 2, 2]
    assert found["vllm:cache_config_info"][(("block_size", "512"), *NANO, ("num_gpu_blocks", "28"))] == 1


def test_refusals_and_what_is_served_are_there() -> None:
    found = values(shown())
    assert found["trimode_front_refusals_total"] == {(("error_type", "unauthorized"), ("face", "http")): 2}
    (labels,) = found["trimode_info"]
    assert dict(labels).keys() == {"version", "model", "modes", "engine", "precision"}
    assert FACES == ("http", "openai", "grpc", "metrics")


def test_before_the_first_request_every_name_of_vllm_is_0() -> None:
    found = values(shown(""))
    assert "vllm:cache_config_info" not in found
    missing = {twin.name for twin in TWINS if not any(name.startswith(twin.name) for name in found)}
    assert missing == {"vllm:spec_decode_num_accepted_tokens_per_pos"}  # it has a series for each place of a draft
    assert found["vllm:time_to_first_token_seconds_count"][NANO] == 0


def test_every_twin_is_of_a_metric_of_ours_and_has_its_kind() -> None:
    assert {twin.ours for twin in TWINS} <= set(METRICS)
    kinds = {family.name: family.type for family in families(Samples(), "nano")}
    assert all(kinds[twin.name] == twin.ours.kind for twin in TWINS)


def test_histograms_add_up_bucket_by_bucket() -> None:
    one = Histogram.empty((1.0, 2.0))
    one.buckets["2.0"], one.total = 3, 4.5
    both = Histogram.empty((1.0, 2.0))
    both.add(one)
    both.add(one)
    assert (both.cumulative(), both.total) == ([("1.0", 0), ("2.0", 6), ("+Inf", 6)], 9.0)
    samples = Samples.read(TEXT)
    assert samples.sum_of(QUEUE).total == 400.53
    assert sorted(samples.values(VERIFICATIONS, {"confirmed": "1"})) == [3]


def test_of_several_models_each_sample_says_whose_it_is() -> None:
    every = [Model(name, manifest()) for name in ("nano", "smol")]
    refusals = Refusals()
    refusals.count("http", "unauthorized")
    made = MetricsSource([Scraped(BackendClient(1), State(), model) for model in every], refusals)
    found = values(made.shown([(model, TEXT) for model in every], refusals.counts()).decode())
    for name in ("nano", "smol"):
        label = ("model_name", name)
        assert found["trimode_queue_seconds_count"][(("mode", "auto"), label)] == 3
        assert found["trimode_requests_total"][(("mode", "auto"), label, ("outcome", "stop"))] == 3
        assert found["vllm:request_queue_time_seconds_count"][(label,)] == 7
        assert found["vllm:cache_config_info"][(("block_size", "512"), label, ("num_gpu_blocks", "28"))] == 1
    assert found["trimode_front_refusals_total"] == {(("error_type", "unauthorized"), ("face", "http")): 1}
    assert sorted(dict(labels)["model"] for labels in found["trimode_info"]) == ["nano", "smol"]


def test_of_several_models_one_that_is_away_takes_no_others_metrics_along() -> None:
    async def run() -> str:
        async def triton(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            text = b"trimode_requests_running 0\n"
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))
            writer.close()

        server = await asyncio.start_server(triton, "127.0.0.1")
        there, away = BackendClient(server.sockets[0].getsockname()[1]), BackendClient(1)
        clients = [(away, "nano"), (there, "smol")]
        scraped = [Scraped(client, State(), Model(name, manifest())) for client, name in clients]
        async with server:
            text = (await MetricsSource(scraped, Refusals()).read())[0].decode()
            with pytest.raises(TrimodeError, match="the server is starting"):
                await MetricsSource(scraped[:1], Refusals()).read()
        await there.aclose()
        return text

    found = values(asyncio.run(run()))
    assert found["trimode_requests_running"] == {(("model_name", "smol"),): 0}
