"""Options of the command line by environment."""

from __future__ import annotations

from pathlib import Path

import pytest
from trimode.server.launch.environment import variables
from trimode.server.launch.options import parser, read


def refusal(capsys: pytest.CaptureFixture[str], **environment: str) -> str:
    with pytest.raises(SystemExit) as ended:
        read([], environment)
    assert ended.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_every_option_has_a_variable_of_its_own() -> None:
    elsewhere = {
        "bundle",
        "allowed_media_domains",
        "reveal_rule",
        "stream_interval",
        "stream_interval_ms",
    }  # they are read there
    without = {"help", "version", *elsewhere}
    assert {action.dest for action in variables(parser()).values()} | without == {
        action.dest for action in parser()._actions
    }


@pytest.mark.parametrize(
    ("name", "value", "dest", "expected"),
    [
        ("TRIMODE_HTTP_PORT", "8123", "http_port", 8123),
        ("TRIMODE_HOST", "::1", "host", "::1"),
        ("TRIMODE_MAX_BODY_MIB", "2.5", "max_body_mib", 2.5),
        ("TRIMODE_API_KEY_FILE", "/keys", "api_key_file", Path("/keys")),
        ("TRIMODE_SERVER_API_KEY", "alice ABC, DEF", "api_key", ["alice ABC", "DEF"]),
        ("TRIMODE_SERVED_MODEL_NAME", "a,b", "served_model_name", ["a", "b"]),
        ("TRIMODE_PLAYGROUND", "false", "playground", False),
        ("TRIMODE_VERIFY", "1", "verify", True),
        ("TRIMODE_SSL_CERT_REQS", "2", "ssl_cert_reqs", 2),
        ("TRIMODE_LOG_FORMAT", "json", "log_format", "json"),
    ],
)
def test_a_variable_sets_what_its_option_sets(name: str, value: str, dest: str, expected: object) -> None:
    assert getattr(read([], {name: value}), dest) == expected


def test_an_option_wins_over_its_variable() -> None:
    assert read(["--http-port", "1"], {"TRIMODE_HTTP_PORT": "2"}).http_port == 1


def test_what_may_be_given_several_times_is_added() -> None:
    given = read(["--served-model-name", "c"], {"TRIMODE_SERVED_MODEL_NAME": "a,b"})
    assert given.served_model_name == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("TRIMODE_HTTP_PORT", "65536", "must be a whole number from 0 to 65535, got 65536"),
        ("TRIMODE_SILENCE", "soon", "must be above 0 and at most 86400, got soon"),
        ("TRIMODE_VERIFY", "", "must be 1 or true or yes or on or 0 or false or no or off, got ''"),
        ("TRIMODE_LOG_LEVEL", "loud", "must be debug or info or warning or error, got 'loud'"),
        ("TRIMODE_SSL_CERT_REQS", "x", "must be of the type int, got 'x'"),
        ("TRIMODE_TRITON_OPTIONS", "--a='b", "No closing quotation"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(
    name: str, value: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refusal(capsys, **{name: value}) == f"trimode-serve: error: variable {name}: {said}"


def test_a_link_of_kubernetes_is_no_port() -> None:
    assert read([], {"TRIMODE_HTTP_PORT": "tcp://10.0.0.1:80"}).http_port == 8000
