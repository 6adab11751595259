"""The blocking and the asyncio client against a scripted server, over both protocols."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal

import pytest
from trimode_client import (
    AsyncClient,
    Client,
    Completion,
    DeadlineError,
    Edit,
    Health,
    IncompleteError,
    InvalidRequestError,
    OverloadedError,
    ServerError,
    StalledError,
    UnavailableError,
)

from tests.support.fake_server import (
    BREAK,
    EMPTY_FINAL,
    FILLED,
    FIRST,
    LAST,
    REVISED,
    SERVERS,
    STALL,
    Script,
    http_server,
)

Protocol = Literal["grpc", "http"]
PROTOCOLS = ("grpc", "http")
LIMITS: dict[str, Any] = {"timeout": 5.0, "inactivity": 5.0, "retries": 0}
Asker = Callable[..., Completion]


def ask_blocking(url: str, protocol: Protocol, *, stream: bool, **limits: Any) -> Completion:
    with Client(url, protocol, **LIMITS | limits) as client:
        if not stream:
            return client.generate("hi")
        with client.stream("hi") as pieces:
            return pieces.finish()


def ask_async(url: str, protocol: Protocol, *, stream: bool, **limits: Any) -> Completion:
    async def ask() -> Completion:
        async with AsyncClient(url, protocol, **LIMITS | limits) as client:
            if not stream:
                return await client.generate("hi")
            async with client.stream("hi") as pieces:
                return await pieces.finish()

    return asyncio.run(ask())


def call_blocking(url: str, protocol: Protocol, method: str, *texts: str, **knobs: Any) -> Completion:
    with Client(url, protocol, **LIMITS) as client:
        answer: Completion = getattr(client, method)(*texts, **knobs)
    return answer


def call_async(url: str, protocol: Protocol, method: str, *texts: str, **knobs: Any) -> Completion:
    async def call() -> Completion:
        async with AsyncClient(url, protocol, **LIMITS) as client:
            answer: Completion = await getattr(client, method)(*texts, **knobs)
        return answer

    return asyncio.run(call())


@pytest.fixture(params=[call_blocking, call_async], ids=["blocking", "asyncio"])
def call(request: pytest.FixtureRequest) -> Asker:
    caller: Asker = request.param
    return caller


@pytest.fixture(params=[ask_blocking, ask_async], ids=["blocking", "asyncio"])
def ask(request: pytest.FixtureRequest) -> Asker:
    asker: Asker = request.param
    return asker


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_stream_adds_up_to_its_completion(ask: Asker, protocol: Protocol) -> None:
    with SERVERS[protocol](Script(FIRST, LAST)) as url:
        completion = ask(url, protocol, stream=True)
    assert (completion.text, completion.token_ids, completion.finish_reason) == ("Hello", (1, 2, 3), "stop")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_generate_takes_a_single_answer(ask: Asker, protocol: Protocol) -> None:
    with SERVERS[protocol](Script(LAST)) as url:
        assert ask(url, protocol, stream=False).counters == {"forwards": 2}


def sent(script: Script, protocol: Protocol) -> dict[str, Any]:
    """The fields of the only request, texts only where it came over gRPC."""
    (request,) = script.requests
    if protocol == "http":
        fields: dict[str, Any] = request
        return fields
    found = zip(request.inputs, request.raw_input_contents, strict=True)
    return {tensor.name: raw[4:].decode() for tensor, raw in found if tensor.datatype == "BYTES"}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_infill_sends_both_sides_and_gives_what_fills_the_gaps(call: Asker, protocol: Protocol) -> None:
    script = Script(FILLED)
    with SERVERS[protocol](script) as url:
        completion = call(url, protocol, "infill", "é", "", return_candidates=True)
    assert (completion.text, completion.fills, completion.candidates) == ("bc", ("b", "c"), ((), ()))
    fields = sent(script, protocol)
    assert (fields["text_input"], fields["suffix"]) == ("é", "")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_revise_sends_the_text_and_gives_its_edits(call: Asker, protocol: Protocol) -> None:
    script = Script(REVISED)
    with SERVERS[protocol](script) as url:
        completion = call(url, protocol, "revise", "ax", spans=[[1, 2]])
    assert (completion.text, completion.edits) == ("ab", (Edit(1, 2, "x", "b"),))
    fields = sent(script, protocol)
    assert (fields["text"], fields["spans"]) == ("ax", "[[1, 2]]")


@pytest.mark.parametrize(
    ("method", "given"), [("infill", {}), ("infill", {"segments": [{}], "right": "a"}), ("revise", {"text": 5})]
)
def test_a_bad_request_is_refused_before_it_is_sent(call: Asker, method: str, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        call("127.0.0.1:9", "http", method, **given)


def test_an_empty_final_response_ends_a_grpc_stream(ask: Asker) -> None:
    with SERVERS["grpc"](Script(FIRST, LAST, EMPTY_FINAL)) as url:
        assert ask(url, "grpc", stream=True).text == "Hello"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_stream_that_stalls_is_given_up(ask: Asker, protocol: Protocol) -> None:
    with SERVERS[protocol](Script(FIRST, STALL)) as url, pytest.raises(StalledError, match=r"within 0\.1 s"):
        ask(url, protocol, stream=True, inactivity=0.1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_overall_limit_ends_a_stream(ask: Asker, protocol: Protocol) -> None:
    with SERVERS[protocol](Script(FIRST, STALL)) as url, pytest.raises(DeadlineError):
        ask(url, protocol, stream=True, timeout=0.1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_overall_limit_ends_a_single_answer(ask: Asker, protocol: Protocol) -> None:
    with SERVERS[protocol](Script(STALL)) as url, pytest.raises(DeadlineError):
        ask(url, protocol, stream=False, timeout=0.1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("method", ["infill", "revise"])
def test_the_overall_limit_ends_an_infilling_and_a_revision(call: Asker, protocol: Protocol, method: str) -> None:
    with SERVERS[protocol](Script(STALL)) as url, pytest.raises(DeadlineError):
        call(url, protocol, method, "a", timeout=0.1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_giving_up_cancels_on_the_server(ask: Asker, protocol: Protocol) -> None:
    script = Script(FIRST, STALL)
    with SERVERS[protocol](script) as url:
        with pytest.raises(StalledError):
            ask(url, protocol, stream=True, inactivity=3.0)
        assert script.left.wait(30)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_stream_cut_short_is_incomplete(ask: Asker, protocol: Protocol) -> None:
    with SERVERS[protocol](Script(FIRST, BREAK)) as url, pytest.raises(IncompleteError):
        ask(url, protocol, stream=True)


def test_a_stream_without_a_last_response_is_incomplete(ask: Asker) -> None:
    with SERVERS["http"](Script(FIRST)) as url, pytest.raises(IncompleteError, match="finish_reason"):
        ask(url, "http", stream=True)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_error_after_the_first_piece_has_its_own_class(ask: Asker, protocol: Protocol) -> None:
    with SERVERS[protocol](Script(FIRST, "overloaded: try later")) as url, pytest.raises(OverloadedError):
        ask(url, protocol, stream=True)


def test_an_http_error_keeps_type_and_text(ask: Asker) -> None:
    script = Script('{"error":"overloaded: queue full"}')
    with http_server(script, status=400) as url, pytest.raises(OverloadedError) as caught:
        ask(url, "http", stream=False)
    assert (caught.value.error_type, caught.value.message) == ("overloaded", "queue full")


def test_an_http_error_of_a_proxy_names_the_status(ask: Asker) -> None:
    with http_server(Script("too large"), status=413) as url, pytest.raises(ServerError, match="http_413: too large"):
        ask(url, "http", stream=True)


def test_an_answer_that_is_not_json_is_incomplete(ask: Asker) -> None:
    with http_server(Script("<html>")) as url, pytest.raises(IncompleteError, match="not JSON"):
        ask(url, "http", stream=False)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nobody_answering_is_unavailable(ask: Asker, protocol: Protocol) -> None:
    with pytest.raises(UnavailableError, match="nobody answers"):
        ask("127.0.0.1:9", protocol, stream=True)


@pytest.mark.parametrize(
    ("protocol", "other", "hint"), [("grpc", "http", "speaks HTTP/1"), ("http", "grpc", "gRPC port")]
)
def test_the_other_protocols_port_is_told(ask: Asker, protocol: Protocol, other: Protocol, hint: str) -> None:
    with SERVERS[other](Script(LAST)) as url, pytest.raises(UnavailableError, match=rf"{url} .*{hint}.*PORT\+1"):
        ask(url, protocol, stream=False)


def health_blocking(url: str, protocol: Protocol) -> Health:
    with Client(url, protocol) as client:
        return client.health()


def health_async(url: str, protocol: Protocol) -> Health:
    async def ask() -> Health:
        async with AsyncClient(url, protocol) as client:
            return await client.health()

    return asyncio.run(ask())


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("health", [health_blocking, health_async])
def test_health_tells_a_model_that_is_not_ready(health: Callable[[str, Protocol], Health], protocol: Protocol) -> None:
    with SERVERS[protocol](Script()) as url:
        state = health(url, protocol)
    assert (state.ready, state.model_ready, state.ok) == (True, False, False)
    assert state.reason.startswith("the model at ") and url in state.reason


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("health", [health_blocking, health_async])
def test_health_says_why_there_is_no_answer(health: Callable[[str, Protocol], Health], protocol: Protocol) -> None:
    assert "127.0.0.1:9" in health("127.0.0.1:9", protocol).reason
    with SERVERS["grpc" if protocol == "http" else "http"](Script()) as url:
        assert "PORT+1" in health(url, protocol).reason


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_name_that_does_not_exist_is_unavailable(ask: Asker, protocol: Protocol) -> None:
    with pytest.raises(UnavailableError, match=r"nobody answers at .*no-such-host"):
        ask("no-such-host.invalid:1", protocol, stream=True)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_dropping_a_stream_cancels_it(protocol: Protocol) -> None:
    script = Script(FIRST, STALL)
    with SERVERS[protocol](script) as url, Client(url, protocol, **LIMITS) as client:
        for _ in client.stream("hi"):
            break
        assert script.left.wait(30)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_client_can_be_used_again_after_a_cancelled_stream(protocol: Protocol) -> None:
    with SERVERS[protocol](Script(FIRST, LAST)) as url, Client(url, protocol, **LIMITS) as client:
        next(client.stream("hi"))
        assert client.generate("hi") if protocol == "grpc" else client.stream("hi").finish()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_time_limit_is_told_to_the_server(protocol: Protocol) -> None:
    script = Script(LAST)
    with SERVERS[protocol](script) as url:
        ask_blocking(url, protocol, stream=False, timeout=1.5)
    sent = script.requests[0]
    if protocol == "http":
        assert sent["timeout_ms"] == 1500
    else:
        names = [tensor.name for tensor in sent.inputs]
        assert sent.raw_input_contents[names.index("timeout_ms")] == (1500).to_bytes(4, "little")
