"""Several models behind one address: each answers as it does alone, by each of its names, on every face."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families
from trimode.api.tensors import MODEL_NAME
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc as stubs

from tests.server.server import Server
from tests.server.several_models import (
    ASKED,
    FIRST,
    MOST_SECONDS,
    OWN_TOKENS,
    PROMPT,
    SECOND,
    SECOND_OF_KSERVE,
    complete,
    generate,
    names_of,
    repository_in,
    serving,
)
from tests.server.wire import ask, send


@pytest.fixture(scope="module")
def both(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    place = tmp_path_factory.mktemp("both")
    with serving(bundle, place, "--model-repository", str(repository_in(place))) as made:
        yield made


@pytest.mark.parametrize("model", [MODEL_NAME, FIRST, SECOND_OF_KSERVE, SECOND])
@pytest.mark.parametrize("mode", ["autoregressive", "diffusion", "self_speculation"])
def test_over_http_a_model_answers_by_each_of_its_names_as_it_does_alone(
    server: Server, both: Server, model: str, mode: str
) -> None:
    request = {**ASKED, "mode": mode}
    status, found = generate(both, model, request)
    right = generate(server, MODEL_NAME, request)[1]
    assert (status, found["output_ids"]) == (200, right["output_ids"])
    assert found["model_name"] == (MODEL_NAME if model in (MODEL_NAME, FIRST) else SECOND_OF_KSERVE)


@pytest.mark.parametrize("mode", ["", ":autoregressive", ":diffusion", ":self_speculation"])
@pytest.mark.parametrize("model", [FIRST, SECOND])
def test_openais_face_chooses_by_the_models_name(server: Server, both: Server, model: str, mode: str) -> None:
    request: dict[str, Any] = {"prompt": PROMPT, "max_tokens": 24, "return_token_ids": True, "temperature": 0}
    status, found = complete(both, model=f"{model}{mode}", **request)
    right = complete(server, model=f"nano{mode}", **request)[1]
    assert (status, found["model"]) == (200, f"{model}{mode}")
    assert found["choices"][0]["token_ids"] == right["choices"][0]["token_ids"]


def asked_of(model: str, request_id: str, tokens: int = 24) -> Any:
    made = pb.ModelInferRequest(model_name=model, id=request_id)
    for name, datatype, values in (
        ("input_ids", "INT32", PROMPT),
        ("max_tokens", "INT32", [tokens]),
        ("mode", "BYTES", [b"autoregressive"]),
        ("return_token_ids", "BOOL", [True]),
    ):
        tensor = made.inputs.add(name=name, datatype=datatype, shape=[len(values)])
        field = {"INT32": "int_contents", "BYTES": "bytes_contents", "BOOL": "bool_contents"}[datatype]
        getattr(tensor.contents, field).extend(values)
    return made


def test_one_stream_of_grpc_asks_both_and_a_name_that_none_has(server: Server, both: Server) -> None:
    right = generate(server, MODEL_NAME, ASKED)[1]["output_ids"]
    every = [MODEL_NAME, FIRST, SECOND_OF_KSERVE, SECOND, "nobody"]
    with grpc.insecure_channel(f"127.0.0.1:{both.grpc_port}") as channel:
        stub = stubs.GRPCInferenceServiceStub(channel)
        bad = asked_of(SECOND, "bad")
        bad.inputs.add(name="no_field", datatype="INT32", shape=[1]).contents.int_contents.append(1)
        sent = iter([*(asked_of(name, name) for name in every), bad])
        found: dict[str, list[int]] = {}
        errors: dict[str, str] = {}
        served: dict[str, str] = {}
        for answer in stub.ModelStreamInfer(sent, timeout=MOST_SECONDS):
            one = answer.infer_response
            served[one.id] = one.model_name
            if answer.error_message:
                errors[one.id] = answer.error_message
                continue
            for output, content in zip(one.outputs, one.raw_output_contents, strict=True):
                if output.name == "output_ids":
                    found.setdefault(one.id, []).extend(memoryview(content).cast("i"))
    assert found == dict.fromkeys(every[:4], right)
    by_name = dict(zip(every, [MODEL_NAME] * 2 + [SECOND_OF_KSERVE] * 2 + [MODEL_NAME], strict=True))
    assert served == {**by_name, "bad": SECOND_OF_KSERVE}
    assert errors.pop("bad").startswith("unknown_field: ")
    assert errors == {"nobody": f'not_found: there is no model "nobody"; this server has {KNOWN}'}


KNOWN = f"{MODEL_NAME}, {SECOND_OF_KSERVE}"


def test_a_name_that_no_model_has_is_refused_by_every_face(both: Server) -> None:
    status, found = generate(both, "nobody", ASKED)
    assert (status, found["error"]) == (404, f'not_found: there is no model "nobody"; this server has {KNOWN}')
    for endpoint in ("completions", "chat/completions", "fim/completions", "responses", "tokenize"):
        status, found = complete(both, endpoint, model="nobody", prompt="a", messages=None, input=None)
        assert status in (400, 404), endpoint
    status, found = complete(both, model="nobody", prompt="a")
    assert (status, found["error"]["code"]) == (404, "model_not_found")
    assert send(both.http_port, "GET", "/v1/models/nobody")[0] == 404
    assert send(both.http_port, "GET", "/tokenizer_info?model=nobody")[0] == 404


def test_tokens_are_those_of_the_model_that_is_named(server: Server, both: Server) -> None:
    right = json.loads(send(server.http_port, "POST", "/tokenize", b'{"prompt": "a seat"}')[1])
    for name in (FIRST, SECOND):
        body = json.dumps({"model": name, "prompt": "a seat"}).encode()
        assert json.loads(send(both.http_port, "POST", "/tokenize", body)[1]) == right
        body = json.dumps({"model": name, "tokens": right["tokens"]}).encode()
        assert json.loads(send(both.http_port, "POST", "/detokenize", body)[1]) == {"prompt": "a seat"}


def test_a_model_has_settings_of_its_own(both: Server) -> None:
    request = {"input_ids": PROMPT, "mode": "autoregressive", "end_id": -1, "return_token_ids": True}
    lengths = [len(generate(both, name, request)[1]["output_ids"]) for name in (FIRST, SECOND)]
    assert lengths == [128, OWN_TOKENS]


def test_each_is_listed_and_described(both: Server) -> None:
    assert names_of(both) == [FIRST, SECOND]
    one = json.loads(send(both.http_port, "GET", f"/v1/models/{SECOND}:diffusion")[1])
    assert (one["parent"], one["max_model_len"]) == (SECOND, 2048)
    listed = json.loads(send(both.http_port, "GET", "/v1/models")[1])["data"]
    own = {MODEL_NAME: {FIRST}, SECOND_OF_KSERVE: {SECOND}}
    assert {name: {one["id"].partition(":")[0] for one in listed if one["model_name"] == name} for name in own} == own
    for name in (MODEL_NAME, SECOND_OF_KSERVE):
        for part in ("", "/config", "/stats", "/ready", "/versions/1/ready"):
            answer = ask(both.http_port, "GET", f"/v2/models/{name}{part}")
            assert answer.status == 200, part
            if part in ("", "/config"):
                assert json.loads(answer.text)["name"] == name  # type: ignore[attr-defined]
    every = json.loads(send(both.http_port, "GET", "/v2/models/stats")[1])["model_stats"]
    assert [one["name"] for one in every] == [MODEL_NAME, SECOND_OF_KSERVE]
    assert send(both.http_port, "GET", "/v2")[0] == 200


def test_grpc_describes_each(both: Server) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{both.grpc_port}") as channel:
        stub = stubs.GRPCInferenceServiceStub(channel)
        for asked, name in ((FIRST, MODEL_NAME), (SECOND, SECOND_OF_KSERVE)):
            assert stub.ModelMetadata(pb.ModelMetadataRequest(name=asked), timeout=30).name == name
            assert stub.ModelConfig(pb.ModelConfigRequest(name=asked), timeout=30).config.name == name
            assert stub.ModelReady(pb.ModelReadyRequest(name=asked), timeout=30).ready
            (one,) = stub.ModelStatistics(pb.ModelStatisticsRequest(name=asked), timeout=30).model_stats
            assert one.name == name
        every = stub.ModelStatistics(pb.ModelStatisticsRequest(), timeout=30).model_stats
        assert [one.name for one in every] == [MODEL_NAME, SECOND_OF_KSERVE]
        assert stub.ServerReady(pb.ServerReadyRequest(), timeout=30).ready


def test_metrics_tell_the_models_apart(both: Server) -> None:
    text = send(both.metrics_port, "GET", "/metrics")[1].decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    fronts = {"trimode_front_refusals", "trimode_info"}
    for name, family in families.items():
        if name not in fronts:
            assert all(sample.labels["model_name"] in (FIRST, SECOND) for sample in family.samples), name
    for name in ("vllm:num_requests_running", "trimode_requests_running", "nv_inference_request_success"):
        assert {sample.labels["model_name"] for sample in families[name].samples} == {FIRST, SECOND}
    assert {sample.labels["model"] for sample in families["trimode_info"].samples} == {FIRST, SECOND}
    assert [line for line in text.splitlines() if line.startswith("# TYPE")].count(
        "# TYPE trimode_requests_running gauge"
    ) == 1
