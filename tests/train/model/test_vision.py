"""Tower and projector against the kit of the vision model, and pictures that share a row."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from trimode_train.data.patches import patches_of
from trimode_train.model import layers, shards, vision
from trimode_train.model.config import ModelConfig, VisionConfig

KIT = Path(__file__).parents[2] / "fixtures/parity-vlm"
TOLERANCE = 2e-4
"""Of the largest value of an array, as the kit's README says."""


@cache
def model_of(name: str) -> tuple[vision.Tower, vision.Projector]:
    """Tower and projector of a checkpoint of the kit, read by the official names."""
    folder = KIT / "checkpoints" / name
    config = json.loads((folder / "config.json").read_text())
    sizes = VisionConfig.from_official(config["vision_config"])
    parts = vision.Tower(sizes), vision.Projector(sizes.hidden_size, config["hidden_size"], config["rms_norm_eps"])
    weights = shards.load(folder)
    part: torch.nn.Module
    for part, prefix in zip(parts, ("encoder.vision_tower.", "encoder.multi_modal_projector."), strict=True):
        found = {key.removeprefix(prefix): tensor.float() for key, tensor in weights.items() if key.startswith(prefix)}
        part.load_state_dict(found)
    return parts


def whole_pictures(name: str) -> list[tuple[str, str]]:
    """The pictures of which the kit has all pixels."""
    with np.load(KIT / "vision" / f"{name}.npz") as kit:
        return [(name, key.removesuffix("/pixels")) for key in kit.files if key.endswith("/pixels")]


def cells_first(
    pixels: npt.NDArray[np.float32],
) -> tuple[torch.Tensor, torch.Tensor, npt.NDArray[np.int64]]:
    """Normalised pixels (3, H, W) as patches in the order of cells, their places, and their raster numbers."""
    order, places = patches_of(np.zeros((*pixels.shape[1:], 3), dtype=np.uint8))
    columns = pixels.shape[2] // 14
    split = pixels.reshape(3, -1, 14, columns, 14).transpose(1, 3, 0, 2, 4).reshape(len(order), 588)
    raster = places[:, 0] * columns + places[:, 1]
    return torch.from_numpy(split[raster]), torch.from_numpy(places), raster


@pytest.mark.parametrize(("name", "picture"), [*whole_pictures("plain"), *whole_pictures("yarn")])
def test_tower_and_features_are_those_of_the_kit(name: str, picture: str) -> None:
    tower_of, project = model_of(name)
    with np.load(KIT / "vision" / f"{name}.npz") as kit:
        pixels, tower, features = (kit[f"{picture}/{what}"] for what in ("pixels", "tower", "features"))
    patches, places, raster = cells_first(pixels)
    with torch.no_grad():
        hidden = tower_of(patches[None], places[None], torch.zeros(1, len(patches), dtype=torch.long))[0]
        ours = project(hidden)
    assert np.abs(hidden.numpy() - tower[raster]).max() <= TOLERANCE * np.abs(tower).max()
    assert np.abs(ours.numpy() - features).max() <= TOLERANCE * np.abs(features).max()


def test_the_kit_has_pictures_for_both_checkpoints() -> None:
    assert all(len(whole_pictures(name)) >= 4 for name in ("plain", "yarn"))


def test_pixels_are_normalised_by_channel() -> None:
    flat = torch.zeros(1, 588, dtype=torch.uint8)
    flat[0, 196:392] = 255
    values = vision.normalise(flat).view(3, 196)
    wanted = [-vision.MEAN[0] / vision.STD[0], (1 - vision.MEAN[1]) / vision.STD[1], -vision.MEAN[2] / vision.STD[2]]
    assert torch.allclose(values, torch.tensor(wanted)[:, None].expand(3, 196))


def test_a_picture_does_not_see_its_neighbour_in_the_row() -> None:
    torch.manual_seed(0)
    tower = vision.Tower(VisionConfig(32, 2, 2, 16, 48)).eval()
    patches, places = torch.randint(0, 256, (1, 12, 588), dtype=torch.uint8), torch.randint(0, 4, (1, 12, 2))
    picture = torch.tensor([[0] * 4 + [1] * 4 + [-1] * 4])
    with torch.no_grad():
        together = tower(patches, places, picture)
        alone = tower(patches[:, 4:8], places[:, 4:8], picture[:, 4:8])
    assert torch.allclose(together[:, 4:8], alone, atol=1e-5)
    assert torch.isfinite(together).all()


def test_the_norm_scales_after_the_cast() -> None:
    norm = layers.RMSNorm(4, 0.0)
    norm.weight.data.fill_(3.0)
    assert torch.allclose(norm(torch.tensor([[2.0, 2.0, -2.0, 2.0]])), torch.tensor([[3.0, 3.0, -3.0, 3.0]]))


@pytest.mark.parametrize("wrong", [{"head_dim": 16}, {"hidden_size": 90, "head_dim": 30}])
def test_heads_must_fill_the_tower(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be hidden_size"):
        VisionConfig(**wrong)


def test_the_shape_of_the_kit_is_read_and_written_as_it_is() -> None:
    config = json.loads((KIT / "checkpoints/yarn/config.json").read_text())
    ours = ModelConfig(vision=VisionConfig.from_official(config["vision_config"])).to_official()
    assert ModelConfig.from_official(ours).to_official() == ours
    assert ours["vision_config"] == config["vision_config"]
    for key in ("architectures", "model_type", "auto_map", "spatial_merge_size", "vision_feature_layer"):
        assert ours[key] == config[key]
    assert "vision_config" not in ModelConfig().to_official()
