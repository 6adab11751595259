"""The corpus: documents in the shares of the mixture, whole, and the same for the same state."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from random import Random

import pytest
from tokenizers import Tokenizer
from trimode_train.data import corpus as corpus_module
from trimode_train.data import sources
from trimode_train.data.corpus import Corpus
from trimode_train.data.recipe import Mixture
from trimode_train.data.sources import Source
from trimode_train.data.tasks import Example

# -- shares of the mixture ---------------------------------------------------------------------------------------------

DRAWN = 1500


@pytest.fixture
def small_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    code = Source("c", "code", "MIT", "here", lambda: iter([("c.py", "x = [1]\n" * 200)]), never_held_out=True)
    prose = Source("p", "prose", "MIT", "here", lambda: iter([("p", "word by word.\n" * 200)]), never_held_out=True)
    monkeypatch.setattr(sources, "SOURCES", (code, prose))


def near(count: int, n: int, share: float) -> bool:
    """Within four standard deviations of what is expected, and the draw large enough to tell."""
    assert n * min(share, 1 - share) > 50
    return abs(count - n * share) < 4 * math.sqrt(n * share * (1 - share))


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Example]:
    """The examples drawn for the document at hand: the one asked last, then that of an earlier turn."""
    examples: list[Example] = []
    draw = corpus_module.draw

    def noted(rng: Random) -> Example:
        examples.append(draw(rng))
        return examples[-1]

    monkeypatch.setattr(corpus_module, "draw", noted)
    return examples


def test_documents_come_in_the_shares_of_the_mixture(
    small_sources: None, recorded: list[Example], tokenizer: Tokenizer
) -> None:
    mixture = Mixture(code_share=0.3, prose_share=0.2, thinking_share=0.4, turns_share=0.25)
    corpus, rng = Corpus(tokenizer, mixture, max_tokens=10**6), Random(11)
    seen: Counter[str] = Counter()
    for _ in range(DRAWN):
        recorded.clear()
        document = corpus.document(rng)
        text = tokenizer.decode(document.ids, skip_special_tokens=False)
        prompt = tokenizer.decode(document.ids[: document.start], skip_special_tokens=False)
        if not document.closed:
            assert not recorded
            seen["code" if "x = [1]" in text else "prose"] += 1
            continue
        seen["chat"] += 1
        turns = text.count("<|im_start|>user\n")
        assert turns == len(recorded)
        seen["turns"] += turns == 2
        thinking = prompt.endswith("<think>\n")
        seen["with steps"] += bool(recorded[0].steps)
        seen["thinking"] += thinking
        assert not thinking or recorded[0].steps
        reply = text.removeprefix(prompt).removesuffix("<|im_end|>")
        assert reply == (recorded[0].thought if thinking else recorded[0].answer)
    assert near(seen["code"], DRAWN, mixture.code_share)
    assert near(seen["prose"], DRAWN, mixture.prose_share)
    assert near(seen["turns"], seen["chat"], mixture.turns_share)
    assert near(seen["thinking"], seen["with steps"], mixture.thinking_share)


def test_a_share_of_nothing_draws_nothing_and_reads_nothing(
    monkeypatch: pytest.MonkeyPatch, tokenizer: Tokenizer
) -> None:
    monkeypatch.setattr(sources, "SOURCES", ())
    corpus = Corpus(tokenizer, Mixture(code_share=0, prose_share=0, thinking_share=0, turns_share=0))
    rng = Random(5)
    for _ in range(100):
        document = corpus.document(rng)
        text = tokenizer.decode(document.ids, skip_special_tokens=False)
        assert document.closed
        assert "<think>\n" not in text
        assert text.count("<|im_start|>user\n") == 1


def test_what_is_too_long_loses_its_earlier_messages(small_sources: None, tokenizer: Tokenizer) -> None:
    corpus = Corpus(tokenizer, Mixture(code_share=0, prose_share=0, turns_share=1.0), max_tokens=1)
    rng = Random(6)
    for _ in range(50):
        text = tokenizer.decode(corpus.document(rng).ids, skip_special_tokens=False)
        assert text.startswith("<|im_start|>system\n<|im_end|>\n")
        assert text.count("<|im_start|>user\n") == 1


def test_the_same_state_gives_the_same_documents(small_sources: None, tokenizer: Tokenizer) -> None:
    mixture = Mixture(code_share=0.3, prose_share=0.3)
    first, second = (
        [corpus.document(rng) for _ in range(40)]
        for corpus, rng in ((Corpus(tokenizer, mixture), Random(9)) for _ in range(2))
    )
    assert first == second
    assert len({tuple(document.ids) for document in first}) > 10


def test_a_stretch_starts_at_a_line_and_stays_in_its_file(
    monkeypatch: pytest.MonkeyPatch, tokenizer: Tokenizer
) -> None:
    files = [(f"{n}", f"{n} begins\n" + f"{n} goes on\n" * 40) for n in range(8)]
    source = Source("s", "code", "MIT", "here", lambda: iter(files), never_held_out=True)
    monkeypatch.setattr(sources, "SOURCES", (source,))
    corpus, rng = Corpus(tokenizer, Mixture(code_share=1, prose_share=0)), Random(2)
    for _ in range(100):
        document = corpus.document(rng)
        text = tokenizer.decode(document.ids)
        lines = text.splitlines()
        assert lines[0] in {f"{lines[0][0]} begins", f"{lines[0][0]} goes on"}
        assert all(a[:1] == b[:1] for a, b in pairwise(lines))
        assert 16 <= document.start <= len(document.ids) - 24
