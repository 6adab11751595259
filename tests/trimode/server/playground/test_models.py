"""The page's choice of model, its modules in Node.js: the models are those that the server's own list of names has."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from trimode.api.tensors import MODEL_NAME
from trimode.server.openai.models import model
from trimode.server.openai.shared.model_names import ModelNames
from trimode.server.playground.fields import fields_json
from trimode.server.playground.files import STATIC

from tests.support.openai_facts import facts

pytestmark = [
    pytest.mark.subprocess,
    pytest.mark.skipif(shutil.which("node") is None, reason="there is no node here: install Node.js 20 or newer"),
]
BROWSER = """
globalThis.document = { baseURI: "http://here/under/playground/" };
globalThis.matchMedia = () => ({ matches: false });
const answers = { "/under/playground/fields.json": FIELDS, "/under/v1/models": { data: MODELS } };
globalThis.fetch = async (url) => ({ ok: true, json: async () => answers[url.pathname] });
const { choose, load, onChoice, several, server } = await import("./server.js");
const { permalink, place } = await import("./permalink.js");
const { asCurl } = await import("./request.js");
const now = () => {
  const { models, ...rest } = server.value;
  const hash = new URL(permalink("chat", { written: "one" })).hash;
  const url = asCurl({}, "generate", false).split(" ")[2];
  const linked = { model: place(hash).model, state: place(hash).state };
  return { ...rest, names: models.map((one) => one.name), several: several(), linked, url };
};
"""
EYE, SMOL = "org/eye", "smol"
FIRST = ModelNames((EYE,))
SECOND = ModelNames((SMOL,), ("autoregressive", "auto"))


def listed(*models: tuple[ModelNames, str, int]) -> list[dict[str, Any]]:
    """The server's list of these models: names, that of KServe's clients, pictures of a request."""
    every = [(replace(facts(), names=names, most_images=images), known) for names, known, images in models]
    return [model(name, one, known) for one, known in every for name in one.names.listed()]


ONE = listed((ModelNames(("nano", "other")), MODEL_NAME, 0))
BOTH = listed((FIRST, MODEL_NAME, 3), (SECOND, SMOL, 0))


def run(tmp_path: Path, models: list[dict[str, Any]], act: str) -> Any:
    """What `act` leaves in `found`, in a page of a server that lists these models."""
    folder = shutil.copytree(STATIC, tmp_path / "page")
    (folder / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    head = BROWSER.replace("FIELDS", fields_json(2**20).decode()).replace("MODELS", json.dumps(models))
    program = f"{head}let found;\n{act}\nconsole.log(JSON.stringify(found));"
    (folder / "program.js").write_text(program, encoding="utf-8")
    done = subprocess.run(["node", "program.js"], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_several_names_of_one_model_are_no_choice(tmp_path: Path) -> None:
    found = run(tmp_path, ONE, 'await load("", "other"); found = now();')
    assert (found["state"], found["names"], found["several"], found["name"]) == ("ready", ["nano"], False, "nano")
    assert found["modes"] == ["autoregressive", "diffusion", "self_speculation", "auto"]
    assert found["linked"] == {"model": "", "state": {"written": "one"}}
    assert found["url"] == f"http://here/under/v2/models/{MODEL_NAME}/generate"


def test_each_model_has_its_own_name_modes_and_limits(tmp_path: Path) -> None:
    first, second = run(tmp_path, BOTH, f'await load(); found = [now()]; choose("{SMOL}"); found.push(now());')
    assert first["names"] == second["names"] == [EYE, SMOL] and first["several"]
    assert [(one["name"], one["model"], one["images"]) for one in (first, second)] == [
        (EYE, MODEL_NAME, 3),
        (SMOL, SMOL, 0),
    ]
    assert "diffusion" in first["modes"] and second["modes"] == ["autoregressive", "auto"]
    assert second["linked"] == {"model": SMOL, "state": {"written": "one", "model": SMOL}}
    assert second["url"] == f"http://here/under/v2/models/{SMOL}/generate"


@pytest.mark.parametrize(
    ("models", "linked", "kept", "name", "missing"),
    [
        (BOTH, "", "", EYE, ""),
        (BOTH, "", SMOL, SMOL, ""),
        (BOTH, EYE, SMOL, EYE, ""),
        (BOTH, "", "gone", EYE, ""),  # the last choice was another server's
        (BOTH, "gone", SMOL, EYE, "gone"),
        (ONE, "gone", "", "nano", "gone"),
        (ONE, "", "gone", "nano", ""),
        (ONE, "other", "", "nano", ""),  # another name of the same model
    ],
)
def test_a_link_goes_before_the_last_choice_and_must_be_served(
    tmp_path: Path, models: list[dict[str, Any]], linked: str, kept: str, name: str, missing: str
) -> None:
    found = run(tmp_path, models, f"await load({json.dumps(linked)}, {json.dumps(kept)}); found = now();")
    assert (found["name"], found["missing"]) == (name, missing)


def test_who_watches_the_choice_is_called_for_another_model_alone(tmp_path: Path) -> None:
    act = """
    await load();
    found = [];
    const end = onChoice(() => found.push(server.value.name));
    for (const name of ["smol", "smol", "gone", "org/eye", "smol"]) choose(name);
    end();
    choose("org/eye");
    """
    assert run(tmp_path, BOTH, act) == [SMOL, EYE, SMOL]


def test_a_link_whose_model_is_no_text_names_none(tmp_path: Path) -> None:
    given = json.dumps([None, 5, True, ["smol"], {"name": "smol"}, "smol"])
    act = f"found = {given}.map((model) => place(`#chat/${{btoa(JSON.stringify({{ model }}))}}`).model);"
    assert run(tmp_path, BOTH, act) == ["", "", "", "", "", "smol"]
