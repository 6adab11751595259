"""The metrics of a real server: the same at both ports, vLLM's names with the same numbers, and what was refused."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from trimode.engines.slot_memory import MOST
from trimode.metrics import ACCEPTED_FREE, AUTO_CYCLES, FREE_DRAFT_TOKENS, METRICS
from trimode.server.metrics_front.vllm_names import TWINS

from tests.server.server import Server
from tests.server.wire import PATH, GrpcStream, events, generate, over_grpc, send

MODES = ("autoregressive", "diffusion", "self_speculation")
PROMPT = "Once upon a time there was"


@pytest.fixture(scope="module")
def counted(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that has answered one request and one stream in each mode, and refused one at each face."""
    with Server(bundle, tmp_path_factory.mktemp("counted") / "log", "--exit-timeout", "4") as made:
        for mode in MODES:
            request = {"text_input": PROMPT, "max_tokens": 24, "mode": mode, "end_id": -1}
            assert generate(made.http_port, request)[0] == 200
            list(events(made.http_port, {**request, "stream": True}))
        assert generate(made.http_port, {"max_tokens": 0})[0] == 400
        assert send(made.http_port, "GET", "/v1/nothing")[0] == 404
        over_grpc(made.grpc_port, {"text_input": PROMPT}, parameters={"tag": "x"})
        assert send(made.metrics_port, "GET", "/nothing")[0] == 404
        assert send(made.http_port, "NO SUCH", "/")[0] >= 400
        made.settle()
        yield made


def read(port: int) -> str:
    status, body = send(port, "GET", "/metrics")
    assert status == 200
    return body.decode()


def values(text: str, name: str, **labels: str) -> float:
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return sum(one.value for one in samples if one.name == name and labels.items() <= one.labels.items())


def names(text: str) -> set[str]:
    return {family.name for family in text_string_to_metric_families(text)}


def test_both_ports_have_every_metric_of_ours_and_of_vllm(counted: Server) -> None:
    wanted = {metric.name.removesuffix("_total") for metric in METRICS} | {twin.name for twin in TWINS}
    not_asked = (AUTO_CYCLES, FREE_DRAFT_TOKENS, ACCEPTED_FREE)  # nobody asked for mode auto, or for free drafts
    wanted -= {metric.name.removesuffix("_total") for metric in not_asked}
    wanted |= {"trimode_info", "trimode_front_refusals", "vllm:cache_config_info"}
    for port in (counted.http_port, counted.metrics_port):
        assert wanted - names(read(port)) == set()


def test_vllms_names_have_the_same_numbers(counted: Server) -> None:
    text = read(counted.metrics_port)
    nano = {"model_name": "nano"}
    assert values(text, "vllm:generation_tokens_total", **nano) == values(text, "trimode_output_tokens_total") == 144
    assert values(text, "vllm:prompt_tokens_total", **nano) == values(text, "trimode_prompt_tokens_total") > 0
    assert values(text, "vllm:request_success_total", finished_reason="length", **nano) == 6
    for ours, theirs in (
        ("trimode_request_seconds", "vllm:e2e_request_latency_seconds"),
        ("trimode_first_chunk_seconds", "vllm:time_to_first_token_seconds"),
        ("trimode_queue_seconds", "vllm:request_queue_time_seconds"),
        ("trimode_prefill_seconds", "vllm:request_prefill_time_seconds"),
        ("trimode_decode_seconds", "vllm:request_decode_time_seconds"),
    ):
        assert values(text, f"{theirs}_count", **nano) == values(text, f"{ours}_count") == 6
        assert values(text, f"{theirs}_sum", **nano) == pytest.approx(values(text, f"{ours}_sum"))


def test_the_tokens_of_each_step_are_counted_by_both_names(counted: Server) -> None:
    """The supervisor's own requests take steps too: there are more tokens than in answers."""
    text = read(counted.metrics_port)
    assert values(text, "vllm:iteration_tokens_total_sum") == values(text, "trimode_step_tokens_sum") > 144
    assert values(text, "vllm:iteration_tokens_total_count") == values(text, "trimode_step_tokens_count")
    passes = values(text, "trimode_engine_passes_total")
    assert 0 < values(text, "trimode_step_tokens_count") <= passes


def test_every_token_after_the_first_pass_has_its_time(counted: Server) -> None:
    """Autoregressive, a pass gives a token: 23 times between 24 of them, in two requests."""
    text = read(counted.metrics_port)
    assert values(text, "trimode_inter_token_seconds_count", mode="autoregressive") == 46
    assert values(text, "trimode_inter_chunk_seconds_count", mode="autoregressive") == 46
    for mode in MODES:
        decode = values(text, "trimode_decode_seconds_sum", mode=mode)
        assert values(text, "trimode_inter_token_seconds_sum", mode=mode) == pytest.approx(decode, abs=1e-4)
        inference = decode + values(text, "trimode_prefill_seconds_sum", mode=mode)
        assert values(text, "trimode_inference_seconds_sum", mode=mode) == pytest.approx(inference, abs=1e-4)
        assert inference <= values(text, "trimode_request_seconds_sum", mode=mode)


def test_what_the_fronts_refuse_is_counted_by_face_and_type(counted: Server) -> None:
    text = read(counted.metrics_port)
    for face, error_type in (
        ("http", "invalid_value"),
        ("openai", "not_found"),
        ("grpc", "unknown_field"),
        ("metrics", "not_found"),
        ("http", "bad_request"),
    ):
        assert values(text, "trimode_front_refusals_total", face=face, error_type=error_type) >= 1, (face, error_type)


def test_info_says_what_is_served(counted: Server) -> None:
    text = read(counted.http_port)
    modes = "auto,autoregressive,diffusion,self_speculation"
    assert values(text, "trimode_info", model="nano", engine="onnxruntime", precision="float32", modes=modes) == 1


def test_slots_that_are_left_to_the_memory_are_told(bundle: Path, tmp_path: Path) -> None:
    """The machine of these tests holds the most that `auto` takes of nano, unless its control group is tiny."""
    with Server(bundle, tmp_path / "log", TRIMODE_MAX_SLOTS="auto") as server:
        assert generate(server.http_port, {"text_input": PROMPT, "max_tokens": 3})[0] == 200
        server.wait_metric("trimode_slots", MOST)
        text = read(server.http_port)
        assert values(text, "vllm:cache_config_info", num_gpu_blocks=str(MOST)) == 1
    assert f"max_slots auto: {MOST} slots of " in (tmp_path / "log").read_text()


def test_a_slot_that_is_held_is_seen(counted: Server) -> None:
    long: dict[str, Any] = {"text_input": PROMPT, "max_tokens": 900, "mode": "autoregressive", "end_id": -1}
    with GrpcStream(counted.grpc_port) as stream:
        stream.send({**long, "stream": True})
        next(stream.answers())
        counted.wait_metric("trimode_slots_used_ratio", 1 / 16)
    counted.wait_metric("trimode_slots_used_ratio", 0)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool of the package prometheus")
def test_promtool_finds_nothing_to_say_about_our_metrics(counted: Server) -> None:
    ours = "".join(line for line in read(counted.http_port).splitlines(keepends=True) if "trimode_" in line)
    checked = subprocess.run(["promtool", "check", "metrics"], input=ours, capture_output=True, text=True, timeout=60)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_refusals_of_a_model_are_not_the_fronts(counted: Server) -> None:
    """The model alone knows its reveal rules."""
    before = values(read(counted.http_port), "trimode_front_refusals_total")
    body = json.dumps({"text_input": PROMPT, "reveal": "no-such-rule", "mode": "diffusion"}).encode()
    assert send(counted.http_port, "POST", f"{PATH}/generate", body)[0] == 400
    assert values(read(counted.http_port), "trimode_front_refusals_total") == before
