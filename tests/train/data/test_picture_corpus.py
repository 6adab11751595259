"""Documents with pictures: the prompt's ids, what is packed with them, and what may be drawn."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from trimode.vision.expansion import expand
from trimode.vision.picture import normalise
from trimode_train.data.archive import ArchiveCorpus
from trimode_train.data.chat import IMAGE_TEMPLATE, TEMPLATE, Message, render
from trimode_train.data.packing import Document, NoiseOptions, Shape, pack, plan
from trimode_train.data.patches import cells_of, patches_of
from trimode_train.data.picture_corpus import IDS, PictureCorpus, domains_of
from trimode_train.data.pictures import PICTURES, Variety
from trimode_train.data.recipe import PictureOptions, Recipe
from trimode_train.data.tokenizer import EXTRA, load_tokenizer, with_images
from trimode_train.model.vision import normalise as normalised

ROOT = Path(__file__).parents[3]
ALL = PictureOptions(share=1.0)


@pytest.fixture(scope="module")
def seeing() -> Tokenizer:
    return with_images(load_tokenizer(ROOT / "checkpoints/nano"))


def test_ids_keep_their_meaning_and_the_pictures_have_names(seeing: Tokenizer) -> None:
    text = load_tokenizer(ROOT / "checkpoints/nano")
    assert seeing.encode("Read the number.").ids == text.encode("Read the number.").ids
    names = ["<|image_start|>", "<|image_pad|>", "<|image_break|>", "<|image_end|>"]
    assert [seeing.token_to_id(name) for name in names] == [18, 19, 20, 21]
    assert seeing.token_to_id(EXTRA) == 2048 and seeing.get_vocab_size() == 2049
    assert seeing.encode("".join(names)).ids == [18, 19, 20, 21]
    with pytest.raises(ValueError, match="already"):
        with_images(seeing)


def test_the_template_with_pictures_renders_text_as_the_other_one() -> None:
    conversations: list[list[Message]] = [
        [{"role": "user", "content": "Hi"}],
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "a\nb"}],
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "<think>x</think>b"}],
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": None}, {"role": "user", "content": "c"}],
    ]
    for messages in conversations:
        assert render(messages, template=IMAGE_TEMPLATE) == render(messages, template=TEMPLATE)


def test_a_picture_is_one_mark_where_its_part_stands() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "x"}}, {"type": "image"}]
    assert "user\na<|image_start|><|image_start|><|im_end|>" in render(
        [{"role": "user", "content": parts}], template=IMAGE_TEMPLATE
    )
    with pytest.raises(Exception, match="unknown part: sound"):
        render([{"role": "user", "content": [{"type": "sound"}]}], template=IMAGE_TEMPLATE)


@pytest.mark.parametrize("chat", [True, False])
def test_a_document_is_picture_question_and_answer(seeing: Tokenizer, chat: bool) -> None:
    corpus = PictureCorpus(seeing, PictureOptions(share=1.0, chat=chat), None)
    drawn = PICTURES["number"].make(Random(1), Variety())
    document = corpus.chat(drawn)
    ids = expand(cells_of(drawn.pixels), IDS)
    start = document.ids.index(18)
    assert document.ids[start : start + len(ids)] == ids and document.ids.count(19) == ids.count(19)
    text = seeing.decode(document.ids, skip_special_tokens=True)
    assert text.endswith(drawn.answer) and drawn.question in text and ("assistant" in text) == chat
    assert document.ids[document.start :] == [*seeing.encode(drawn.answer).ids, 11]


def test_every_feature_has_its_place_in_the_clean_copies(seeing: Tokenizer) -> None:
    rng, options = Random(3), NoiseOptions(block_lengths=(8,), block_odds=(1.0,))
    corpus = PictureCorpus(seeing, ALL, None)
    planned = [plan(corpus.document(rng), rng, options, 128) for _ in range(12)]
    batch = pack(planned, Shape(6, 128, 8, 64), rng, options)
    assert batch.pictures is not None
    pads = batch.pictures.pads
    assert ((pads >= 0) == (batch.ids == 19)).all() and (batch.block[pads >= 0] == 0).all()
    cells = np.sort(pads[pads >= 0])
    used = batch.pictures.picture.reshape(-1, 4)[:, 0] >= 0
    assert np.array_equal(cells, np.flatnonzero(used))
    for row in range(6):
        for number in range(batch.document[row].max() + 1):
            own = pads[row][(batch.document[row] == number) & (pads[row] >= 0)]
            first = batch.pictures.patches.reshape(-1, 4, 588)[own]
            assert any(
                np.array_equal(first.reshape(-1, 588), patches_of(item.document.pictures[0])[0]) for item in planned
            )


def test_a_picture_s_places_have_no_loss(seeing: Tokenizer) -> None:
    rng, options = Random(3), NoiseOptions(prompt_weight=0.5)
    document = PictureCorpus(seeing, ALL, None).document(rng)
    batch = pack([plan(document, rng, options, 256)], Shape(1, 256, 1, 64), rng, options)
    clean = batch.block[0] == 0
    image = np.isin(batch.targets[0], (18, 19, 20, 21)) & clean
    assert image.any() and not batch.weights[0][image].any()
    assert (batch.weights[0][clean] == 0.5).any() and (batch.weights[0][clean] == 1).any()


def test_the_rest_is_text_and_archives_refuse_pictures(seeing: Tokenizer) -> None:
    text = Document([200, 201, 11], 1)

    class Text:
        def document(self, rng: Random) -> Document:
            return text

    corpus = PictureCorpus(seeing, PictureOptions(share=0.5), Text())
    drawn = [corpus.document(Random(number)) for number in range(60)]
    assert 15 < sum(bool(document.pictures) for document in drawn) < 45 and text in drawn
    with pytest.raises(ValueError, match="needs a corpus of text"):
        PictureCorpus(seeing, PictureOptions(share=0.5), None)
    with pytest.raises(ValueError, match="no pictures"):
        ArchiveCorpus.of(drawn)


def test_questions_are_held_out_and_repeat(seeing: Tokenizer) -> None:
    corpus = PictureCorpus(seeing, PictureOptions(share=1.0, domains=("number", "shape")), None)
    once, again = corpus.held_out(3, seed=1), corpus.held_out(3, seed=1)
    assert [name for name, _ in once] == ["number"] * 3 + ["shape"] * 3
    assert [document.ids for _, document in once] == [document.ids for _, document in again]
    with pytest.raises(ValueError, match="unknown domain 'poem'"):
        domains_of(PictureOptions(domains=("poem",)))


def test_training_normalises_as_the_server_prepares() -> None:
    pixels = PICTURES["chart"].make(Random(1), Variety()).pixels
    theirs = normalise(pixels.astype(np.float32))
    patches, places = patches_of(pixels)
    ours = normalised(torch.from_numpy(patches)).view(-1, 3, 14, 14).numpy()
    for values, (row, column) in zip(ours, places, strict=True):
        block = theirs[:, 14 * row : 14 * row + 14, 14 * column : 14 * column + 14]
        assert np.abs(values - block).max() < 1e-5


def test_the_recipe_of_nano_vlm_is_whole_and_ends_in_three_hours() -> None:
    stages = Recipe.stages(ROOT / "train/nano-vlm.yaml")
    easy, reader, swap, everything, *polish = stages
    assert sum(recipe.minutes for recipe in stages) <= 180
    assert reader.weights_of == easy.name == "nano-vlm/easy" and reader.model == easy.model
    assert swap.model == everything.model and swap.model.hidden_size == 256 and swap.start_from == "checkpoints/nano"
    assert everything.weights_of == swap.name and 0 < everything.pictures.share < 1
    assert [recipe.weights_of for recipe in polish] == [everything.name, *(recipe.name for recipe in polish[:-1])]


def test_a_recipe_that_draws_pictures_needs_a_model_that_sees() -> None:
    with pytest.raises(ValueError, match="needs model"):
        Recipe("x", pictures=ALL)
    with pytest.raises(ValueError, match="second_look"):
        Recipe.of({"name": "x", "model": {"vision": {}}, "noise": {"second_look": True}}, "x")


def test_a_file_with_stages_is_no_single_run(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("name: x\nseed: 4\nstages:\n  - {name: a, data: {rows: 2}}\n  - {name: b, weights_of: a}\n")
    first, second = Recipe.stages(path)
    assert (first.name, first.seed, first.data.rows) == ("x/a", 4, 2) and second.weights_of == "x/a"
    with pytest.raises(ValueError, match="has 2 stages"):
        Recipe.load(path)
