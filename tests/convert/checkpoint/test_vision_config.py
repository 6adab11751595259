"""The tower's part of config.json and its tensors: what is required, what is refused, and every shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from trimode.errors import CheckpointError
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_convert.checkpoint.vision_config import PATCHES, VisionConfig, tower_name

from tests.support import checkpoints as factory
from tests.support import vision_checkpoints as vision


def opened(folder: Path, **changes: Any) -> Checkpoint:
    return Checkpoint.open(vision.write(folder, **changes))


def test_the_towers_sizes(tmp_path: Path) -> None:
    with opened(tmp_path) as checkpoint:
        assert checkpoint.config.vision == VisionConfig(
            hidden_size=16, num_layers=2, intermediate_size=24, num_heads=2, theta=1e4, patch=14, merge=2, side=10
        )


def test_a_text_model_has_none(tmp_path: Path) -> None:
    settings = factory.config()
    factory.write(tmp_path, settings, factory.tensors(settings))
    with Checkpoint.open(tmp_path) as checkpoint:
        assert checkpoint.config.vision is None


def test_the_released_sizes_give_the_released_number_of_parameters() -> None:
    """What the family's cards say: 8.92 billion with the tower, in 531 tensors."""
    tower = VisionConfig(
        hidden_size=1024, num_layers=24, intermediate_size=4096, num_heads=16, theta=1e4, patch=14, merge=2, side=110
    )
    shapes = tower.shapes(4096)
    sizes = {name: shape[0] * (shape[1] if len(shape) > 1 else 1) for name, shape in shapes.items() if name != PATCHES}
    projector = sum(size for name, size in sizes.items() if "projector" in name)
    assert sum(sizes.values()) + 1024 * 3 * 14 * 14 - projector == 403_305_472
    assert projector == 25_166_848
    assert len(shapes) == 218 + 4


def test_an_older_files_angle_stands_beside_the_sizes(tmp_path: Path) -> None:
    with opened(tmp_path, vision_rope_parameters=None, vision_rope_theta=5e3) as checkpoint:
        assert checkpoint.config.vision is not None
        assert checkpoint.config.vision.theta == 5e3


def test_keys_that_are_for_training_are_ignored(tmp_path: Path) -> None:
    with opened(tmp_path, vision_initializer_range=0.02, vision_attention_dropout=0.0, vision_new=1) as checkpoint:
        assert checkpoint.config.vision is not None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"vision_config": None}, "vision_config: expected an object"),
        ({"vision_patch_size": None}, "vision_config.patch_size: the key is missing"),
        ({"vision_rope_parameters": None}, "vision_config.rope_theta: the key is missing"),
        ({"vision_rope_parameters": 5}, "vision_config.rope_parameters: expected an object"),
        ({"vision_rope_parameters": {"rope_type": "yarn", "rope_theta": 1.0}}, "rope_type: expected 'default'"),
        ({"vision_model_type": "clip"}, "vision_config.model_type: expected 'pixtral', found 'clip'"),
        ({"vision_hidden_act": "gelu"}, "vision_config.hidden_act: expected 'silu'"),
        ({"vision_num_channels": 1}, "vision_config.num_channels: expected 3"),
        ({"vision_head_dim": 4}, "vision_config.head_dim: expected 8"),
        ({"vision_num_attention_heads": 3}, "vision_config.hidden_size: expected a multiple of 3"),
        ({"vision_num_attention_heads": 8, "vision_head_dim": None}, "heads of a multiple of 4 channels"),
        ({"vision_image_size": 14}, "vision_config.image_size: expected 2 to 1024 patches of 14 pixels"),
        ({"multimodal_projector_bias": True}, "multimodal_projector_bias: expected False"),
        ({"projector_hidden_act": "relu"}, "projector_hidden_act: expected 'gelu'"),
        ({"spatial_merge_size": 0}, "spatial_merge_size: expected a positive integer"),
        ({"vocab_size": 21}, "vocab_size: expected more than 21, the ids of pictures"),
    ],
)
def test_what_the_graph_is_not_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    settings = vision.config()
    arrays = vision.tensors(settings)
    own = {name.removeprefix("vision_"): value for name, value in changes.items() if name.startswith("vision_")}
    if "config" in own:
        settings["vision_config"] = own.pop("config")
    else:
        tower = settings["vision_config"] | own
        settings["vision_config"] = {name: value for name, value in tower.items() if value is not None}
    settings |= {name: value for name, value in changes.items() if not name.startswith("vision_")}
    factory.write(tmp_path, settings, arrays)
    with pytest.raises(CheckpointError, match=said):
        Checkpoint.open(tmp_path)


def test_layers_other_than_the_last_are_refused(tmp_path: Path) -> None:
    settings = vision.config() | {"vision_feature_layer": -2}
    factory.write(tmp_path, settings, vision.tensors(settings))
    with pytest.raises(CheckpointError, match="vision_feature_layer: expected -1"):
        Checkpoint.open(tmp_path)


@pytest.mark.parametrize(
    "name", [PATCHES, tower_name(1, "attention.q_proj"), "encoder.multi_modal_projector.norm.weight"]
)
def test_a_missing_tensor_is_named(tmp_path: Path, name: str) -> None:
    settings = vision.config()
    arrays = vision.tensors(settings)
    del arrays[name]
    factory.write(tmp_path, settings, arrays)
    with pytest.raises(CheckpointError, match=f"tensor {name}: expected .*, found none"):
        Checkpoint.open(tmp_path)


def test_a_tensor_of_another_shape_is_named(tmp_path: Path) -> None:
    settings = vision.config()
    arrays = vision.tensors(settings)
    arrays[PATCHES] = arrays[PATCHES][:, :, :7]
    factory.write(tmp_path, settings, arrays)
    with pytest.raises(CheckpointError, match=r"patch_conv.weight: expected shape \[16, 3, 14, 14\]"):
        Checkpoint.open(tmp_path)


def test_a_text_models_folder_with_a_tower_is_refused(tmp_path: Path) -> None:
    settings = factory.config()
    factory.write(tmp_path, settings, vision.tensors(vision.config()))
    with pytest.raises(CheckpointError, match=r"unknown to config\.json"):
        Checkpoint.open(tmp_path)
