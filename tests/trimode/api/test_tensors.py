"""The tensors of the model: an input for every field, and the configuration that Triton reads."""

from __future__ import annotations

import pytest
from trimode.api.fields import FIELDS
from trimode.api.tensors import INPUTS, MODES, OUTPUTS, config_pbtxt, instance_group


def test_every_field_is_an_input_and_no_name_is_used_twice() -> None:
    assert [tensor.name for tensor in INPUTS] == [field.name for field in FIELDS]
    assert len({tensor.name for tensor in OUTPUTS}) == len(OUTPUTS)


@pytest.mark.parametrize("gpus", [(), (0, 1)])
def test_the_configuration_names_every_tensor_once_and_its_instances(gpus: tuple[int, ...]) -> None:
    text = config_pbtxt(gpus)
    assert instance_group(gpus) in text
    for tensor in INPUTS:
        assert text.count(f'name: "{tensor.name}"') == 1 + (tensor.name in {one.name for one in OUTPUTS})


def test_modes_are_a_parameter_only_where_they_are_given() -> None:
    more = [line for line in config_pbtxt((), ("auto", "autoregressive")).splitlines() if line not in config_pbtxt()]
    assert more == [f'parameters {{ key: "{MODES}" value: {{ string_value: "auto,autoregressive" }} }}']
