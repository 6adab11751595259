"""config.pbtxt and the tensor table say the same, and the table says what fields.FIELDS and output.Counters say."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from trimode.api.counters import Counters
from trimode.api.fields import FIELDS
from trimode.api.tensors import COUNTS, INPUTS, OUTPUTS, config_pbtxt
from trimode.config import ServerConfig
from trimode.errors import RequestError
from trimode.triton.arrays import read_request

MODEL = Path(__file__).parents[3] / "model_repository" / "nemotron_diffusion"


def test_config_pbtxt_is_what_the_table_gives() -> None:
    assert (MODEL / "config.pbtxt").read_text(encoding="utf-8") == config_pbtxt()


def test_model_yaml_holds_every_key_at_its_default() -> None:
    written = (MODEL / "model.yaml").read_text(encoding="utf-8")
    assert ServerConfig.load(MODEL / "model.yaml", {}) == ServerConfig()
    assert all(f"\n{field.name}:" in written for field in fields(ServerConfig))


def test_every_field_has_an_input() -> None:
    assert [tensor.name for tensor in INPUTS] == [field.name for field in FIELDS]


def test_every_counter_has_an_output() -> None:
    counters = set(Counters().as_dict()) - {"output_tokens"}  # num_output_tokens on the wire
    assert counters <= {tensor.name for tensor in OUTPUTS}
    assert set(COUNTS) <= counters


def test_a_float32_is_read_as_the_decimal_that_was_written() -> None:
    assert read_request([("top_p", np.array([0.9], dtype=np.float32))], "") == {"top_p": 0.9}


def test_text_must_be_utf8() -> None:
    with pytest.raises(RequestError, match="text_input must be valid UTF-8") as caught:
        read_request([("text_input", np.array([b"\xff"], dtype=np.object_))], "")
    assert caught.value.error_type == "bad_utf8"


def test_a_field_given_both_ways_is_refused() -> None:
    with pytest.raises(RequestError, match="max_tokens must be given once"):
        read_request([("max_tokens", np.array([5], dtype=np.int32))], '{"max_tokens": 6}')


def test_tritons_own_parameters_and_the_id_are_not_fields() -> None:
    assert read_request([], '{"triton_enable_empty_final_response": true, "id": "a", "top_k": 2}') == {"top_k": 2}
