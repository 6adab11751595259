"""The questions a run is scored on."""

from __future__ import annotations

from collections import Counter

from tokenizers import Tokenizer
from trimode_train.data.corpus import Corpus
from trimode_train.data.recipe import DataOptions
from trimode_train.data.tasks import TASKS
from trimode_train.evaluation.scores import questions


def test_questions_are_those_of_the_corpus_and_the_same_for_the_same_seed(tokenizer: Tokenizer) -> None:
    corpus = Corpus(tokenizer, DataOptions(code_share=0, prose_share=0))
    pairs = corpus.held_out(per_domain=2, seed=5)
    assert pairs == [(q.domain, q.document) for q in questions(corpus, per_domain=2, seed=5)]
    assert pairs != corpus.held_out(per_domain=2, seed=6)
    assert Counter(domain for domain, _ in pairs) == {name: 2 for name in TASKS}
