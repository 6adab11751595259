"""How much of held-out questions is in the training text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer
from trimode_train import overlap
from trimode_train.data.answered import Answered
from trimode_train.data.batches import batch_for, batch_rng, plans
from trimode_train.data.chat import render
from trimode_train.data.corpus import Corpus
from trimode_train.data.packing import Document, Planned
from trimode_train.data.recipe import DataOptions, Recipe
from trimode_train.data.sources import Source
from trimode_train.data.tasks import Example
from trimode_train.training import resumable

ADDED = Example("sums", "What is one and one?", "Answer: two", "one, then one more")
OTHER = Example("sums", "What is four and four?", "Answer: eight", "four, then four more")


def record(example: Example) -> dict[str, Any]:
    message = {"role": "user", "content": example.prompt}
    return {"domain": example.domain, "messages": [message], "answer": example.answer}


@pytest.fixture
def corpus(tokenizer: Tokenizer) -> Corpus:
    return Corpus(tokenizer, DataOptions(code_share=0, prose_share=0))


def counts(
    tokenizer: Tokenizer, records: list[dict[str, Any]], drawn: list[Document], n: int = 6
) -> dict[str, dict[str, int]]:
    held_out = overlap.HeldOut(records, tokenizer, n)
    held_out.show(drawn)
    return held_out.by_domain()


def test_replies_read_alike_said_and_thought(corpus: Corpus) -> None:
    for thinking in (False, True):
        document = corpus.chat([], ADDED, thinking)
        text = corpus.tokenizer.decode(document.ids, skip_special_tokens=False)
        assert list(overlap.replies(text)) == [ADDED.answer]


def test_replies_of_earlier_turns_are_seen_too(corpus: Corpus) -> None:
    earlier = [{"role": "user", "content": OTHER.prompt}, {"role": "assistant", "content": OTHER.answer}]
    text = corpus.tokenizer.decode(corpus.chat(earlier, ADDED).ids, skip_special_tokens=False)
    assert list(overlap.replies(text)) == [OTHER.answer, ADDED.answer]


def test_a_clean_corpus_has_nothing_of_it(corpus: Corpus, tokenizer: Tokenizer) -> None:
    held_out = Example("sums", "Say xyzzy, please, twice or three times!", "plugh, plugh, plugh: there it is")
    text = f"{held_out.prompt}<|im_end|>\n<|im_start|>assistant\n<think></think>{held_out.answer}<|im_end|>"
    assert counts(tokenizer, [record(held_out)], [corpus.chat([], OTHER)], n=20) == {
        "sums": {
            "asked": 1,
            "prompts_seen": 0,
            "replies": 1,
            "replies_seen": 0,
            "ngrams": len(tokenizer.encode(text).ids) - 19,
            "ngrams_seen": 0,
        }
    }


def test_a_planted_prompt_is_found_in_the_last_turn_and_in_an_earlier_one(corpus: Corpus, tokenizer: Tokenizer) -> None:
    earlier = [{"role": "user", "content": ADDED.prompt}, {"role": "assistant", "content": "No."}]
    for drawn in (corpus.chat([], ADDED), corpus.chat(earlier, OTHER)):
        assert counts(tokenizer, [record(ADDED), record(OTHER)], [drawn])["sums"]["prompts_seen"] >= 1
    found = counts(tokenizer, [record(ADDED)], [corpus.chat([], ADDED)])["sums"]
    assert found["replies_seen"] == 1
    assert found["ngrams_seen"] == found["ngrams"] > 0


def test_a_planted_reply_alone_is_recall_not_a_prompt(corpus: Corpus, tokenizer: Tokenizer) -> None:
    drawn = corpus.chat([], Example("sums", "Do it again!", ADDED.result, ADDED.steps))
    found = counts(tokenizer, [record(ADDED)], [drawn])["sums"]
    assert (found["prompts_seen"], found["replies_seen"]) == (0, 1)
    assert 0 < found["ngrams_seen"] < found["ngrams"]


def test_a_prompt_cut_between_two_documents_is_not_found(tokenizer: Tokenizer) -> None:
    halves = [
        Document(tokenizer.encode(text).ids, 1, closed=False) for text in ("import os\nfor x", " in y:\n    pass\n")
    ]
    code = [{"domain": "code", "prompt": "import os\nfor x in y:\n    pass\n"}]
    found = counts(tokenizer, code, halves)["code"]
    assert (found["prompts_seen"], found["replies"]) == (0, 0)
    whole = Document(tokenizer.encode("# z\nimport os\nfor x in y:\n    pass\n").ids, 1, closed=False)
    assert counts(tokenizer, code, [whole])["code"]["prompts_seen"] == 1


def test_the_documents_are_those_of_the_run_s_batches(corpus: Corpus) -> None:
    recipe = Recipe("tiny", data=DataOptions(code_share=0, prose_share=0, rows=16))
    drawn = [planned.document.ids for planned in plans(batch_rng(3, recipe), corpus, recipe)]
    batch = batch_for(3, corpus, recipe)
    clean = [
        batch.ids[row][(batch.document[row] == number) & (batch.block[row] == 0)].tolist()
        for row in range(16)
        for number in range(batch.document[row].max() + 1)
    ]
    assert len(clean) >= 16
    assert all(ids in drawn for ids in clean)


# -- files and the command line ----------------------------------------------------------------------------------------


def lines(seed: str, count: int = 60) -> str:
    rng = Random(seed)
    return "".join(f"{''.join(rng.choices('abcdefghij', k=9))} = {rng.random()}\n" for _ in range(count))


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> str:
    """A source whose held-out file shares a header, and nothing else, with a training file."""
    header = lines("header", 6)
    files = {"kept.py": header + lines("kept"), "held.py": header + lines("held"), "other.py": lines("other")}
    source = Source("planted", "code", "MIT", "here", lambda: iter(files.items()))
    object.__setattr__(source, "is_held_out", lambda name: name == "held.py")
    monkeypatch.setattr("trimode_train.overlap.SOURCES", (source,))
    monkeypatch.setattr("trimode_train.data.sources.SOURCES", (source,))
    return header


def test_a_planted_header_is_the_longest_copy(tokenizer: Tokenizer, source: str) -> None:
    found = overlap.file_overlap(tokenizer, 20)["planted"]
    header = len(tokenizer.encode(source).ids)
    assert found["files"] == 1
    assert header <= found["longest"]["tokens"] <= header + 4  # lines may go on alike by chance
    assert found["tokens_in_copies"] == found["longest"]["tokens"]
    assert found["ngrams_seen"] == found["longest"]["tokens"] - 19
    assert found["ngrams"] == found["tokens"] - 19
    assert (found["longest"]["file"], found["longest"]["begins"]) == ("held.py", source[:60].strip())


@pytest.fixture
def checkpoint(tokenizer: Tokenizer, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "heldout.jsonl").write_text(json.dumps(record(ADDED)) + "\n")
    (tmp_path / "recipe.yaml").write_text("name: tiny\ndata: {code_share: 0, prose_share: 0, rows: 2}\n")
    monkeypatch.setattr("trimode_train.overlap.ROOT", tmp_path)
    return tmp_path


def run(checkpoint: Path, *arguments: str) -> int:
    return overlap.main(["--recipe", str(checkpoint / "recipe.yaml"), "--checkpoint", str(checkpoint), *arguments])


def test_the_exit_status_is_0_for_a_clean_run_and_the_result_is_written(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(checkpoint, "--batches", "3", "--ngram", "5") == 0
    result = json.loads((checkpoint / "overlap.json").read_text())
    (tiny,) = result["runs"]
    assert (tiny["recipe"], tiny["batches"], tiny["n"]) == ("tiny", 3, 5)
    assert tiny["documents"] > 3
    assert tiny["domains"]["sums"]["prompts_seen"] == 0
    assert result["files"]["planted"]["files"] == 1
    assert "3 batches" in capsys.readouterr().out


def test_the_exit_status_is_1_and_the_prompt_is_named_when_one_is_in_training(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    third = batch_rng(2, Recipe("tiny")).random()

    def planted(rng: Random, corpus: Corpus, recipe: Recipe) -> Iterator[Planned]:
        fresh = Random()
        fresh.setstate(rng.getstate())
        yield from plans(rng, corpus, recipe)
        yield Planned(corpus.chat([], ADDED if fresh.random() == third else OTHER), [])

    monkeypatch.setattr(overlap, "plans", planted)
    assert run(checkpoint, "--batches", "2") == 0
    assert run(checkpoint, "--batches", "3") == 1
    assert repr(ADDED.prompt) in capsys.readouterr().out


def test_without_a_run_the_number_of_batches_must_be_said(checkpoint: Path) -> None:
    with pytest.raises(SystemExit, match="--batches"):
        run(checkpoint)


def test_a_run_s_own_count_of_batches_is_used(checkpoint: Path) -> None:
    folder = checkpoint / "train/runs/tiny"
    folder.mkdir(parents=True)
    resumable.save(folder / "latest.pt", {"drawn": 4})
    assert run(checkpoint) == 0
    assert json.loads((checkpoint / "overlap.json").read_text())["runs"][0]["batches"] == 4


def test_every_recipe_has_its_own_counts(checkpoint: Path) -> None:
    other = checkpoint / "other.yaml"
    other.write_text("name: other\nseed: 5\ndata: {code_share: 0, prose_share: 0, rows: 2}\n")
    assert run(checkpoint, "--batches", "2", "--recipe", str(other)) == 0
    runs = json.loads((checkpoint / "overlap.json").read_text())["runs"]
    assert [(r["recipe"], r["seed"]) for r in runs] == [("tiny", 1), ("other", 5)]
    assert runs[0]["tokens"] != runs[1]["tokens"]


def test_every_stage_of_a_recipe_is_checked_pictures_too(checkpoint: Path) -> None:
    stages = "stages:\n  - {name: text}\n  - {name: seen, pictures: {share: 1.0, chat: false, domains: [shape]}}\n"
    seen = "model: {vision: {}}\ndata: {code_share: 0, prose_share: 0, rows: 2, patch_rows: 4, patch_length: 64}\n"
    (checkpoint / "recipe.yaml").write_text(f"name: tiny\n{seen}{stages}")
    assert run(checkpoint, "--batches", "2") == 0
    text, pictures = json.loads((checkpoint / "overlap.json").read_text())["runs"]
    assert (text["recipe"], pictures["recipe"]) == ("tiny/text", "tiny/seen")
    assert text["documents"] > 0 and pictures["documents"] > 0


def test_what_is_compared_begins_where_the_prompt_does(tokenizer: Tokenizer) -> None:
    held_out = overlap.HeldOut([record(ADDED)], tokenizer, 6)
    text = render([{"role": "user", "content": ADDED.prompt}])
    head = tokenizer.encode(text[: text.index(ADDED.prompt)]).ids
    held_out.ngrams.show(np.array(head, dtype=np.uint16))
    assert not held_out.ngrams.shown(0).any()


def test_answers_of_a_run_are_checked_against_its_held_out_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, folder = tmp_path / "own.yaml", tmp_path / "run"
    recipe.write_text("name: own\nseed: 3\nanswers: {prompts: 2}\n")
    command = ["--recipe", str(recipe), "--run", str(folder), "--checkpoint", str(tmp_path), "--ngram", "3"]
    folder.mkdir()
    with pytest.raises(SystemExit, match=r"answers\.jsonl: no answers; name the run's folder with --run"):
        overlap.main(command)
    asked = {name: Answered("chat", f"Say {name}!", 0, 0.0, [*range(20)], 9, True) for name in ("one", "two")}
    for name, file in (("one", "answers.jsonl"), ("two", "heldout.jsonl")):
        (folder / file).write_text(json.dumps(asdict(asked[name])) + "\n")
    assert overlap.main(command) == 0
    (run,) = json.loads((tmp_path / "overlap.json").read_text())["runs"]
    assert (run["recipe"], run["seed"], run["documents"], run["tokens"]) == ("own", 3, 1, 20)
    assert run["domains"]["chat"]["replies_seen"] == 1 and "own: 1 documents" in capsys.readouterr().out
    (folder / "heldout.jsonl").write_text(json.dumps(asdict(asked["one"])) + "\n")
    assert overlap.main(command) == 1
    assert "held out but in training: 'Say one!'" in capsys.readouterr().out
