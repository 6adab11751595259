"""Training on pictures: first weights, frozen ones, a run that is resumed; and what the loops make of a picture."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from trimode_train.data.packing import NoiseOptions
from trimode_train.data.picture_corpus import PictureCorpus
from trimode_train.data.recipe import DataOptions, PictureOptions, Recipe
from trimode_train.data.tokenizer import load_tokenizer, with_images
from trimode_train.evaluation import pictures as evaluation
from trimode_train.evaluation.decode import Session, autoregressive
from trimode_train.evaluation.scores import Question, features_of, greedy_matches, opened
from trimode_train.export import export, stages
from trimode_train.model import shards
from trimode_train.model.checkpoint import load_model
from trimode_train.model.config import ModelConfig, VisionConfig
from trimode_train.model.model import Model, causal_bias, grouped_attention
from trimode_train.training.report import Reporter
from trimode_train.training.start import SPARE_ID, first_weights, freeze, load_checkpoint, load_run
from trimode_train.training.trainer import Trainer

from tests.support.still_clock import StillClock

NANO = Path(__file__).parents[3] / "checkpoints/nano"
TOWER = VisionConfig(32, 1, 2, 16, 48)
SMALL = ModelConfig(2049, 32, 2, 4, 2, 8, 64, 512, vision=TOWER)
PICTURES = PictureOptions(share=1.0, chat=False, domains=("number", "shape"), digits=1, faces=1, noisy=False)
RECIPE = Recipe(
    "tiny",
    compile=False,
    bfloat16=False,
    model=SMALL,
    data=DataOptions(rows=4, row_length=128, patch_rows=6, patch_length=64),
    pictures=PICTURES,
    noise=NoiseOptions(block_lengths=(8,), block_odds=(1.0,)),
)
Maker = Callable[..., Trainer]


@pytest.fixture(scope="module")
def corpus() -> PictureCorpus:
    return PictureCorpus(with_images(load_tokenizer(NANO)), PICTURES, None)


@pytest.fixture
def make(corpus: PictureCorpus, tmp_path: Path) -> Maker:
    def trainer(name: str, recipe: Recipe = RECIPE) -> Trainer:
        (tmp_path / name).mkdir(exist_ok=True)
        return Trainer(recipe, corpus, StillClock(), tmp_path / name, Reporter(None))

    return trainer


def test_a_resumed_run_on_pictures_equals_an_uninterrupted_one(make: Maker) -> None:
    whole = make("whole")
    before = {name: tensor.clone() for name, tensor in whole.model.state_dict().items()}
    whole.run([], max_steps=4)
    make("parts").run([], max_steps=2)
    resumed = make("parts")
    resumed.resume()
    resumed.run([], max_steps=4)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name
        assert not torch.equal(tensor, before[name]), name  # every weight is trained, the tower's too


def test_frozen_weights_stay_and_the_others_learn(make: Maker) -> None:
    trainer = make("a", dataclasses.replace(RECIPE, frozen=("encoder.layers.", "diffusion_head.")))
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    trainer.run([], max_steps=2)
    for name, tensor in trainer.model.state_dict().items():
        kept = name.startswith(("encoder.layers.", "diffusion_head."))
        assert torch.equal(tensor, before[name]) == kept, name
    with pytest.raises(ValueError, match="limbs"):
        freeze(trainer.model, ("encoder.limbs",))


def test_a_run_ends_with_its_documents(make: Maker) -> None:
    trainer = make("a", dataclasses.replace(RECIPE, documents=20))
    trainer.run([])
    assert trainer.progress == 1.0 and 20 <= trainer.documents < 60
    resumed = make("a", dataclasses.replace(RECIPE, documents=20))
    resumed.resume()
    assert resumed.progress == 1.0


def test_nano_s_weights_are_taken_with_one_row_more_and_a_tower_of_its_own() -> None:
    config = dataclasses.replace(ModelConfig(), vocab_size=2049, vision=TOWER)
    model = Model(config)
    tower = model.encoder.vision_tower.patch_conv.weight.clone()
    load_checkpoint(model, NANO)
    weights, nano = model.state_dict(), shards.load(NANO)
    for name, tensor in nano.items():
        assert torch.equal(weights[name][: len(tensor)], tensor.float())
    embedding = weights["encoder.embed_tokens.weight"]
    assert torch.equal(embedding[2048], embedding[SPARE_ID])
    assert torch.equal(tower, weights["encoder.vision_tower.patch_conv.weight"])
    with pytest.raises(ValueError, match="the model has"):
        load_checkpoint(Model(SMALL), NANO)


def test_a_stage_takes_the_tower_of_the_one_before(make: Maker, tmp_path: Path) -> None:
    reader = make("reader")
    reader.run([], max_steps=1)
    wider = dataclasses.replace(RECIPE, model=dataclasses.replace(SMALL, hidden_size=64), weights_of="reader")
    swap = make("swap", dataclasses.replace(wider, taken=("encoder.vision_tower.",)))
    projector = swap.model.encoder.multi_modal_projector.linear_2.weight.clone()
    first_weights(swap.model, swap.recipe, tmp_path, tmp_path)
    ours, theirs = swap.model.encoder, reader.model.encoder
    assert torch.equal(ours.vision_tower.patch_conv.weight, theirs.vision_tower.patch_conv.weight)
    assert torch.equal(ours.multi_modal_projector.linear_2.weight, projector)
    with pytest.raises(ValueError, match="the model has"):
        load_run(swap.model, reader.path, ())
    with pytest.raises(ValueError, match="begins with 'encoder"):
        load_run(swap.model, reader.path, ("encoder.limbs",))
    with pytest.raises(ValueError, match="not there"):
        load_run(swap.model, tmp_path / "none/latest.pt", ())


def test_the_text_tasks_of_a_stage_s_start_are_in_the_record(make: Maker, tmp_path: Path) -> None:
    trainer = make("a")
    place = {**trainer._place(), "start_from": "checkpoints/nano"}
    assert [stage["recipe"] for stage in stages(place, "tiny", tmp_path)] == ["nano-cpu", "nano-cpu-2", "tiny"]


def test_the_loops_read_a_picture_in_parts_as_in_one_pass(corpus: PictureCorpus, make: Maker) -> None:
    model = make("a").model.eval()
    (_, document), *_ = corpus.questions(1, seed=3)
    features, ids = features_of(model, document.pictures), torch.tensor(document.ids)
    cell = torch.full((1, len(ids)), -1)
    cell[0, ids == 19] = torch.arange(len(features))
    with torch.no_grad():
        attend = grouped_attention(causal_bias(len(ids), len(ids)))
        whole = model(ids[None], torch.arange(len(ids))[None], attend, seen=(features, cell))[0][0]
        session = Session(model, features)
        parts = torch.cat([session.causal(ids[:4]), session.causal(ids[4:])])
    assert torch.allclose(whole, parts, atol=1e-4)
    with pytest.raises(ValueError, match="1 places of pictures, and 0 features"):
        session.causal([19])


def test_another_picture_changes_what_is_said(corpus: PictureCorpus, make: Maker) -> None:
    model = make("a").model.eval()
    for parameter in model.parameters():
        if parameter.dim() == 2:
            parameter.data *= 3
    (_, document), *_ = corpus.questions(1, seed=3)
    blank = evaluation.blank(document)
    assert blank.ids == document.ids and blank.pictures[0].shape == document.pictures[0].shape
    first, second = (Session(model, features_of(model, d.pictures)) for d in (document, blank))
    prompt = document.ids[: document.start]
    assert not torch.allclose(first.causal(prompt, last=True), second.causal(prompt, last=True), atol=1e-3)


def test_greedy_matches_are_what_autoregressive_decoding_says(corpus: PictureCorpus, make: Maker) -> None:
    model = make("a").model.eval()
    asked = [Question(*pair) for pair in corpus.questions(4, seed=5)]
    said = []
    for question in asked:
        reply = autoregressive(opened(model, question.document), question.prompt, 3).ids
        ids = [*question.prompt, *reply]
        document = dataclasses.replace(question.document, ids=ids)
        said.append(Question(question.domain, document))
    assert greedy_matches(model, said) == [True] * len(said)
    assert {domain for domain in evaluation.score(model, asked, "diffusion")} == {"number", "shape", "all"}
    assert len([*evaluation.table(model, asked[:2])]) == 2 + 3 * 2


def test_an_exported_model_is_read_back_and_is_small(make: Maker, corpus: PictureCorpus, tmp_path: Path) -> None:
    trainer = make("a")
    weights = trainer.model.state_dict()
    export(weights, SMALL.to_official(), corpus.tokenizer, tmp_path / "out")
    read = load_model(tmp_path / "out").state_dict()
    assert {name: tensor.shape for name, tensor in read.items()} == {n: t.shape for n, t in weights.items()}
    assert all(torch.equal(read[name], tensor.bfloat16().float()) for name, tensor in weights.items())
    config = json.loads((tmp_path / "out/tokenizer_config.json").read_text())
    assert config["added_tokens_decoder"]["19"]["content"] == "<|image_pad|>"
    assert config["added_tokens_decoder"]["2048"]["content"] == "|<MASK>|"
    assert "image_url" in (tmp_path / "out/chat_template.jinja").read_text()
    full = Model(ModelConfig(vocab_size=2049, vision=VisionConfig()))
    assert 2 * sum(parameter.numel() for parameter in full.parameters()) < 24e6
