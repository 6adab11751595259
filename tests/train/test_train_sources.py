import hashlib
import math
from collections import Counter
from itertools import pairwise
from random import Random

import pytest
from trimode_train.data import corpus as corpus_module
from trimode_train.data import sources
from trimode_train.data.corpus import Corpus, Mixture
from trimode_train.data.sources import HELD_OUT_FILES, SOURCES, Source, is_held_out, texts

BY_NAME = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)


@pytest.fixture(scope="module")
def shares():
    """Names and texts of each source's training share and held-out share; reading them takes seconds."""
    return {source.name: (dict(source.share(False)), dict(source.share(True))) for source in SOURCES}


@BY_NAME
def test_no_text_is_in_both_shares_and_none_is_lost(source, shares):
    training, held_out = shares[source.name]
    names = [name for name, _ in source.texts()]
    assert len(names) == len(set(names))
    assert not set(training) & set(held_out)
    assert set(training) | set(held_out) == set(names)


@BY_NAME
def test_texts_are_whole_and_not_empty(source, shares):
    again = dict(source.texts())
    for share in shares[source.name]:
        assert all(text.strip() and text == again[name] for name, text in share.items())


def test_the_share_follows_from_the_hash_of_the_name():
    for name in ("ast.py", "json/decoder.py", "for", ""):
        number = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)
        assert is_held_out(name, 7) == (number % 7 == 0)
        assert is_held_out(name, 1)


def test_the_share_does_not_follow_from_the_text():
    names = [f"file{i}.py" for i in range(200)]
    kept = []
    for text in ("a = 1\n", "b = 2\n"):
        source = Source("s", "code", "MIT", "here", lambda text=text: iter([(name, text) for name in names]))
        kept.append([name for name, _ in source.share(held_out=True)])
    assert kept[0] == kept[1] == [name for name in names if is_held_out(name, HELD_OUT_FILES)]
    assert kept[0]


def test_about_one_file_in_so_many_is_held_out(shares):
    training, held_out = (sum(len(pair[i]) for pair in shares.values()) for i in (0, 1))
    n, p = training + held_out, 1 / HELD_OUT_FILES
    assert abs(held_out - n * p) < 4 * math.sqrt(n * p * (1 - p))


def test_a_source_that_is_never_held_out_is_wholly_in_training(shares):
    whole = [source for source in SOURCES if source.never_held_out]
    assert whole
    for source in whole:
        assert shares[source.name] == (dict(source.texts()), {})
    name = next(f"{i}" for i in range(1000) if is_held_out(f"{i}", HELD_OUT_FILES))
    for never in (False, True):
        assert Source("s", "code", "MIT", "here", lambda: iter([]), never).is_held_out(name) is not never


def test_texts_of_a_kind_are_those_of_its_sources(shares):
    for kind in ("code", "prose"):
        for held_out in (False, True):
            expected = [t for s in SOURCES if s.kind == kind for t in shares[s.name][held_out].items()]
            assert texts(kind, held_out) == expected


def test_tests_and_installed_packages_are_left_out(shares):
    names = [name for pair in shares.values() for share in pair for name in share]
    assert not [name for name in names if {"test", "tests", "site-packages"} & set(name.split("/"))]


@pytest.fixture
def story(shares):
    (text,) = shares[next(source.name for source in SOURCES if "2889" in source.name)][0].values()
    return text


def test_the_story_is_whole_and_without_its_publisher_s_marks(story):
    assert "***" not in story
    assert "Little though they seem to think of it" in story
    assert "no means has been found of increasing the length of\nthe terrestrial year." in story


def test_the_story_is_without_its_transcriber_s_lines(story):
    assert not [line for line in ("Produced by", "Redactor", "Project Gutenberg") if line in story]


@pytest.mark.parametrize(("kind", "package"), [("code", "networkx"), ("prose", "reasoning-gym")])
def test_a_package_that_is_missing_is_named(kind, package, monkeypatch):
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=f"needs the package {package}, which is not installed"):
        texts(kind)


# -- shares of the mixture ---------------------------------------------------------------------------------------------

DRAWN = 1500


@pytest.fixture
def small_sources(monkeypatch):
    code = Source("c", "code", "MIT", "here", lambda: iter([("c.py", "x = [1]\n" * 200)]), never_held_out=True)
    prose = Source("p", "prose", "MIT", "here", lambda: iter([("p", "word by word.\n" * 200)]), never_held_out=True)
    monkeypatch.setattr(sources, "SOURCES", (code, prose))


def near(count, n, share):
    """Within four standard deviations of what is expected, and the draw large enough to tell."""
    assert n * min(share, 1 - share) > 50
    return abs(count - n * share) < 4 * math.sqrt(n * share * (1 - share))


@pytest.fixture
def recorded(monkeypatch):
    """The examples drawn for the document at hand: the one asked last, then that of an earlier turn."""
    examples, draw = [], corpus_module.draw
    monkeypatch.setattr(corpus_module, "draw", lambda rng: (examples.append(draw(rng)), examples[-1])[1])
    return examples


def test_documents_come_in_the_shares_of_the_mixture(small_sources, recorded, tokenizer):
    mixture = Mixture(code_share=0.3, prose_share=0.2, thinking_share=0.4, turns_share=0.25)
    corpus, rng, seen = Corpus(tokenizer, mixture, max_tokens=10**6), Random(11), Counter()
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


def test_a_share_of_nothing_draws_nothing_and_reads_nothing(monkeypatch, tokenizer):
    monkeypatch.setattr(sources, "SOURCES", ())
    corpus = Corpus(tokenizer, Mixture(code_share=0, prose_share=0, thinking_share=0, turns_share=0))
    rng = Random(5)
    for _ in range(100):
        document = corpus.document(rng)
        text = tokenizer.decode(document.ids, skip_special_tokens=False)
        assert document.closed
        assert "<think>\n" not in text
        assert text.count("<|im_start|>user\n") == 1


def test_what_is_too_long_loses_its_earlier_messages(small_sources, tokenizer):
    corpus = Corpus(tokenizer, Mixture(code_share=0, prose_share=0, turns_share=1.0), max_tokens=1)
    rng = Random(6)
    for _ in range(50):
        text = tokenizer.decode(corpus.document(rng).ids, skip_special_tokens=False)
        assert text.startswith("<|im_start|>system\n<|im_end|>\n")
        assert text.count("<|im_start|>user\n") == 1


def test_the_same_state_gives_the_same_documents(small_sources, tokenizer):
    mixture = Mixture(code_share=0.3, prose_share=0.3)
    first, second = (
        [corpus.document(rng) for _ in range(40)]
        for corpus, rng in ((Corpus(tokenizer, mixture), Random(9)) for _ in range(2))
    )
    assert first == second
    assert len({tuple(document.ids) for document in first}) > 10


def test_a_stretch_starts_at_a_line_and_stays_in_its_file(monkeypatch, tokenizer):
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
