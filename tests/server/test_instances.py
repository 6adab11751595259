"""Two instances of the model, as on two GPUs but on the CPU's side: what holds with several, and what does not."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from trimode.api.tensors import MODEL_NAME, config_pbtxt, instance_group
from trimode.server.launch.gpu_repository import on_gpus

from tests.server.server import Server, wait_until
from tests.server.wire import GrpcStream, generate

REPOSITORY = Path(__file__).parents[2] / "model_repository"
NAMES = [f"{MODEL_NAME}_0_{number}" for number in range(2)]
LONG: dict[str, Any] = {"text_input": "Once", "mode": "autoregressive", "max_tokens": 1900, "end_id": -1}
SLOTS = 2
"""Of each instance: with more requests than these both stay busy until their callers leave."""
SHORT: dict[str, Any] = {**LONG, "max_tokens": 8}


@pytest.fixture(scope="module")
def pair(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("pair")
    repository = on_gpus(REPOSITORY, (0, 1), folder)
    two = config_pbtxt().replace(instance_group(), "instance_group [ { count: 2, kind: KIND_CPU } ]")
    (repository / MODEL_NAME / "config.pbtxt").write_text(two, encoding="utf-8")
    limits = {"TRIMODE_THREADS": "1", "TRIMODE_MAX_SLOTS": str(SLOTS)}
    with Server(bundle, folder / "log", "--model-repository", str(repository), **limits) as made:
        yield made
        made.kill()


def test_each_instance_is_a_process_and_a_label(pair: Server) -> None:
    assert len(pair.stubs) == 2
    wait_until(lambda: all(pair.metric("trimode_engine_passes_total", model_instance=name) for name in NAMES), str)


def test_counts_of_both_add_up(pair: Server) -> None:
    pair.settle()
    before = pair.metric("trimode_output_tokens_total")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: generate(pair.http_port, SHORT), range(16)))
    assert {status for status, _ in answers} == {200}
    assert len({body["text_output"] for _, body in answers}) == 1
    pair.wait_metric("trimode_output_tokens_total", before + 16 * 8)


def test_what_runs_is_counted_on_both(pair: Server) -> None:
    with ExitStack() as stack:
        streams = [stack.enter_context(GrpcStream(pair.grpc_port)) for _ in range(4)]
        for stream in streams * 6:
            stream.send({**LONG, "stream": True})
        pair.wait_metric("trimode_requests_running", 2 * SLOTS)
    pair.wait_metric("trimode_requests_running", 0)  # each instance notices that its callers left


def test_the_death_of_one_restarts_both(pair: Server) -> None:
    before = pair.stubs
    max(before, key=lambda stub: stub.pid).kill()
    wait_until(lambda: not pair.ready(), lambda: "still ready")
    pair.wait_ready()
    after = pair.stubs
    assert (len(after), before & after) == (2, set())
    assert generate(pair.http_port, SHORT)[0] == 200
