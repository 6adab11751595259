"""Lines of tritonserver and its stubs, in the form of the server's own."""

from __future__ import annotations

import logging

import pytest
from trimode.logs.lines import JsonLine
from trimode.server.launch.triton_log import LOGGER, pass_on


@pytest.fixture(autouse=True)
def all_levels(caplog: pytest.LogCaptureFixture) -> None:
    for name in ("tritonserver", "trimode"):
        caplog.set_level(logging.DEBUG, name)


@pytest.mark.parametrize(
    ("line", "level", "text"),
    [
        (
            b'E1129 16:00:00.123456 1234 pb_stub.cc:402] "it \\"broke\\"\\nhere"\n',
            "ERROR",
            'it "broke"\nhere (pb_stub.cc:402)',
        ),
        (b"W1129 16:00:00.123456  34 server.cc:1] plain text\n", "WARNING", "plain text (server.cc:1)"),
        (b'I1129 16:00:00.123456 1 a.cc:1] "cut', "INFO", '"cut (a.cc:1)'),
        (b"\x1b[0;93m2026-11-29 16:00:00.1234 [W:onnxruntime:, a.cc:1 f] slow\x1b[m\n", "WARNING", "slow"),
        (b"+------+-----+\n", "INFO", "+------+-----+"),
        (b"| Model            | Version | Status |\n", "INFO", "| Model            | Version | Status |"),
        (b"|no table|\n", "WARNING", "|no table|"),
        (b"| cut\n", "WARNING", "| cut"),
        (b"++\n", "WARNING", "++"),
        (b"terminate called without an active exception\n", "WARNING", "terminate called without an active exception"),
        (b"\xff\xfe\n", "WARNING", "\ufffd\ufffd"),
    ],
)
def test_a_line_has_its_level_and_text(line: bytes, level: str, text: str, caplog: pytest.LogCaptureFixture) -> None:
    pass_on(line)
    (record,) = caplog.records
    assert (record.name, record.levelname, record.getMessage()) == ("tritonserver", level, text)


def test_an_empty_line_is_none(caplog: pytest.LogCaptureFixture) -> None:
    pass_on(b" \n")
    assert caplog.records == []


def test_a_line_of_the_model_is_its_own_record(caplog: pytest.LogCaptureFixture) -> None:
    written = logging.LogRecord("trimode.scheduling", logging.ERROR, "", 0, "a pass of %d", (3,), None)
    written.request_id = "a1"
    pass_on(JsonLine().format(written).encode() + b"\n")
    (record,) = caplog.records
    assert (record.name, record.levelname, record.getMessage()) == ("trimode.scheduling", "ERROR", "a pass of 3")
    assert vars(record)["request_id"] == "a1"


def test_a_level_that_was_not_asked_for_is_left_out_but_last_words_are_shown(caplog: pytest.LogCaptureFixture) -> None:
    LOGGER.setLevel(logging.ERROR)  # which caplog puts back; its own level would keep lines from it
    pass_on(b"W1129 16:00:00.123456 34 server.cc:1] odd\n")
    pass_on(b"Segmentation fault\n")
    assert [record.getMessage() for record in caplog.records] == ["Segmentation fault"]
