"""The options of each of several models, their names, and what is refused before anything is read."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest
from trimode.api.tensors import MODEL_NAME
from trimode.errors import BundleError, ServeError
from trimode.server.launch.each_model import KnownNames, each_model, kserve_name
from trimode.server.launch.options import read
from trimode.server.openai.shared.model_names import ModelNames

from tests.support.toy import manifest


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "models" / MODEL_NAME).mkdir(parents=True)
    (tmp_path / "models" / MODEL_NAME / "model.yaml").touch()
    return tmp_path / "models"


def options(repository: Path, count: int, *given: str) -> Namespace:
    """Options for so many bundles, whose checkpoints are m0, m1, and so on."""
    for number in range(count):
        bundle = repository.parent / str(number)
        bundle.mkdir()
        replace(manifest(), model=f"m{number}").save(bundle)
        given = (*given, "--bundle", str(bundle))
    return read(("--model-repository", str(repository), *given), {})


def test_one_bundle_is_what_it_always_was(repository: Path) -> None:
    (one,) = each_model(options(repository, 1, "--served-model-name", "a", "--served-model-name", "b"))
    assert (one.bundle, one.served_model_name) == (repository.parent / "0", ["a", "b"])
    assert (one.model_name, one.number, one.whose) == (MODEL_NAME, None, "")


def test_without_a_bundle_model_yaml_names_it(repository: Path) -> None:
    (one,) = each_model(options(repository, 0))
    assert one.bundle is None


def test_no_model_has_the_name_that_stands_for_all(repository: Path) -> None:
    given = ("--served-model-name", "small", "--served-model-name", "stats")
    with pytest.raises(ServeError, match="no model may be served as stats"):
        each_model(options(repository, 2, *given))


def test_each_of_several_has_its_bundle_and_names_and_all_else_in_common(repository: Path) -> None:
    first, second = each_model(options(repository, 2, "--silence", "7"))
    assert [(one.bundle.name, one.number, one.model_name, one.whose) for one in (first, second)] == [
        ("0", 0, MODEL_NAME, "m0: "),
        ("1", 1, "m1", "m1: "),
    ]
    assert (first.silence, second.silence) == (7, 7)


def test_names_are_given_in_the_order_of_the_bundles(repository: Path) -> None:
    given = ("--served-model-name", "small", "--served-model-name", "org/large:2")
    first, second = each_model(options(repository, 2, *given))
    assert (first.served_model_name, second.served_model_name) == (["small"], ["org/large:2"])
    assert second.model_name == "org-large-2"


def test_names_for_some_bundles_are_refused(repository: Path) -> None:
    with pytest.raises(ServeError, match="--served-model-name must be given once for each of the 2 bundles"):
        each_model(options(repository, 2, "--served-model-name", "only"))


def test_the_same_name_twice_is_refused_before_a_bundle_is_read(repository: Path) -> None:
    with pytest.raises(ServeError, match='two models have the name "m"'):
        each_model(options(repository, 2, "--served-model-name", "m", "--served-model-name", "m"))


def test_a_bundle_that_is_missing_is_refused_by_its_path(repository: Path) -> None:
    with pytest.raises(BundleError, match="/nowhere"):
        each_model(options(repository, 1, "--bundle", "/nowhere"))


def test_settings_of_a_model_that_is_not_served_are_refused(repository: Path) -> None:
    for name in ("m1", "m7"):
        (repository / name).mkdir()
        (repository / name / "model.yaml").touch()
    with pytest.raises(ServeError, match=r"m7/model\.yaml sets nothing: the models of this server are nemotron_dif"):
        each_model(options(repository, 2))


@pytest.mark.parametrize(
    ("served", "name"),
    [("smol", "smol"), ("nvidia/x 8b", "nvidia-x-8b"), ("../x", "x"), ("ä", "model"), ("a+b_c.d", "a+b_c.d")],
)
def test_the_name_for_kserve_is_a_folders(served: str, name: str) -> None:
    assert kserve_name(served) == name


def test_a_name_is_one_models() -> None:
    names = KnownNames()
    names.take(0, MODEL_NAME, ModelNames(("nano",)))
    for model_name, other in (("x", "nano"), ("nano", "x"), ("x", "nano:diffusion"), (MODEL_NAME, "x")):
        with pytest.raises(ServeError, match=r"two models have the name .*; tell them apart with --served-model-name"):
            names.take(1, model_name, ModelNames((other,)))
    names.take(1, "smol", ModelNames(("smol",)))
    with pytest.raises(ServeError, match='two models have the name "smol"'):
        names.take(0, MODEL_NAME, ModelNames(("smol",)))
    names.take(0, MODEL_NAME, ModelNames(("nano2",)))
    names.take(1, "smol", ModelNames(("nano",)))  # which the first has given up
