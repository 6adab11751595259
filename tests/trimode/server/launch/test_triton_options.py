"""Options of tritonserver after `--`: passed on, but for those that the server sets."""

from __future__ import annotations

import pytest
from trimode.server.launch.options import read


def refusal(capsys: pytest.CaptureFixture[str], *given: str) -> str:
    with pytest.raises(SystemExit) as ended:
        read(["--", *given], {})
    assert ended.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_what_comes_after_the_mark_is_passed_on() -> None:
    options = read(["--http-port", "1", "--", "--log-verbose=1", "--trace-config", "a,b=c"], {})
    assert (options.http_port, options.triton_options) == (1, ("--log-verbose=1", "--trace-config", "a,b=c"))


def test_options_of_the_environment_come_first() -> None:
    options = read(["--", "--log-verbose=2"], {"TRIMODE_TRITON_OPTIONS": "--log-verbose=1 --id='a b'"})
    assert options.triton_options == ("--log-verbose=1", "--id=a b", "--log-verbose=2")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--http-port=1", "--http-port of tritonserver is set by trimode-serve: tritonserver listens for"),
        ("--http-p=1", "--http-p of tritonserver is set by trimode-serve"),  # which tritonserver takes for the same
        ("--model-repository=/x", "--model-repository and --bundle say what is served"),
        ("--log-format=ISO8601", "use --log-format and --log-level"),
        ("--allow-sagemaker=true", "--allow-sagemaker of tritonserver is set"),
        ("--backend-config=python,stub-timeout-seconds=1", "--backend-config=python,stub-timeout-seconds is set by"),
        ("--backend-conf=python,stub-timeout-seconds=1", "--backend-config=python,stub-timeout-seconds is set by"),
        ("python", "after -- come options of tritonserver, which begin with --, got 'python'"),
        ("--help", "ask tritonserver itself for its help"),
    ],
)
def test_what_the_server_sets_itself_is_refused_by_name(
    given: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refusal(capsys, given)


def test_a_setting_of_a_backend_in_two_words_is_seen_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert "shm-region-prefix-name is set" in refusal(capsys, "--backend-config", "python,shm-region-prefix-name=x")


@pytest.mark.parametrize("given", ["--log-verbose=1", "--http-thread-count=4", "--backend-config=onnx,a=b", "--id=x"])
def test_others_are_tritonservers_own(given: str) -> None:
    assert read(["--", given], {}).triton_options == (given,)
