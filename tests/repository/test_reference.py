"""docs/reference/ is what scripts/render_docs makes of the tables in the code, and leaves nothing out."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from trimode.api.counters import MEANINGS, Counters
from trimode.api.defaults import Defaults
from trimode.api.effort import EffortTable, Level
from trimode.api.fields import FIELDS, PROMPT_FIELDS, Field, Mode, Operation
from trimode.api.params import GenerationParams
from trimode.api.rows.images import IMAGE_FIELDS
from trimode.api.tensors import OUTPUTS
from trimode.config import ServerConfig, settings
from trimode.errors import ERROR_TYPES, RequestError
from trimode.metrics import FORWARD_KINDS, LABELS, METRICS, UNITS
from trimode.server import cli as server
from trimode_client.cli import main as client
from trimode_convert import cli as converter

from scripts.render_docs.__main__ import COMMAND, PAGES, REFERENCE, main, rendered
from scripts.render_docs.cli import usage
from scripts.render_docs.markdown import plain, table
from scripts.render_docs.parameters import applies, limits

RENDERED = rendered()
DEFAULTS = Defaults(
    vocab_size=2048,
    block_length=32,
    end_id=1,
    end_think_token_id=7,
    mask_token_id=3,
    adapter=True,
    effort=EffortTable("hash", (Level(0.0, 16, 4, None, 0, 0.9, 0.1), Level(1.0, 32, 32, 0.95, 3, 0.99, 0.3))),
    most_images=1,
)
PROMPTS: dict[Operation, dict[str, Any]] = {
    Operation.GENERATE: {"messages": [{"role": "user", "content": "a"}]},
    Operation.INFILL: {"text_input": "a", "suffix": "b"},
    Operation.REVISE: {"text": "a"},
}
"""A request for each operation."""
BESIDE_A_TEXT = (*IMAGE_FIELDS, "max_image_size")
"""Fields that messages do not have: their pictures are parts of them."""
NO_PROMPTS = [field for field in FIELDS if field.name not in (*PROMPT_FIELDS, "suffix", "mode")]
"""Fields that do not ask for an operation or a mode."""
VALUES: dict[str, Any] = {
    "guided_decoding_guide_type": "regex",
    "guided_decoding_guide": "a+",
    "guided_decoding_scope": "whole",
    "instruction": "What?",
    "auto_allow": ["diffusion"],
    "stop_words": ["a"],
    "block_length": 16,
    "denoise_steps": 4,
    "reveal": "threshold",
    "speculation": "linear",
    "prediction": "an edited file",
    "infill_tokens": 2,
    "infill_lengths": [2, 3],
    "spans": [[0, 1]],
    "revise_threshold": -1.0,
    "revise_rounds": 1,
    "accept": "always",
    "temperature": 1.0,
    "repetition_penalty": 1.5,
    "max_thinking_tokens": 5,
    "user": "somebody",
    "cache_salt": "s",
    "log_probs_kind": "causal",
    "bad_words": ["a"],
    "logit_bias": {"5": 1.0},
    "allowed_token_ids": [5],
    "bad_token_ids": [5],
    "stop_token_ids": [5],
    "image_bytes_input": ["AAAA"],
    "image_url_input": ["data:,a"],
    "max_image_size": 56,
    "continue_final_message": False,
    "allow_special_tokens": False,
}
"""A value for each field whose value may not be true, 1 or 0.5."""
COMPANIONS: dict[str, dict[str, Any]] = {
    **{name: {"stream": True} for name in ("stream_provisional", "stream_interval_ms")},
    "log_probs_kind": {"return_log_probs": True},
    "max_image_size": {"image_url_input": ["data:,a"]},
    "guided_decoding_guide_type": {"guided_decoding_guide": "a+"},
    "guided_decoding_guide": {"guided_decoding_guide_type": "regex"},
    "guided_decoding_scope": {"guided_decoding_guide_type": "regex", "guided_decoding_guide": "a+"},
    "disable_any_whitespace": {"guided_decoding_guide_type": "json"},
    "top_log_probs": {"return_log_probs": True},
    **{name: {"revise_rounds": 1} for name in ("revise_threshold", "revise_fraction", "accept")},
}
"""Fields without which another one is refused."""


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_tables_give(name: str) -> None:
    assert (REFERENCE / name).read_text(encoding="utf-8") == RENDERED[name], f"run: {COMMAND}"


def test_there_is_no_other_page() -> None:
    assert {path.name for path in REFERENCE.iterdir()} == set(PAGES)


def test_the_check_names_the_page_that_differs_and_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--out", str(tmp_path)]) == 0
    assert main(["--out", str(tmp_path), "--check"]) == 0
    (tmp_path / "errors.md").write_text("by hand", encoding="utf-8")
    (tmp_path / "cli.md").unlink()
    capsys.readouterr()
    assert main(["--out", str(tmp_path), "--check"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said == [f"{tmp_path / name} is out of date; run: {COMMAND}" for name in ("errors.md", "cli.md")]
    assert (tmp_path / "errors.md").read_text(encoding="utf-8") == "by hand"


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_every_field_has_a_section_with_its_help_default_and_range(field: Field) -> None:
    section = RENDERED["parameters.md"].partition(f"\n### `{field.name}`\n")[2].partition("\n#")[0]
    assert " ".join(plain(field.help).split()) in " ".join(section.split())
    assert plain(field.default) in section
    assert limits(field) in section


def kept_out(request: dict[str, Any]) -> bool:
    """Whether a request is refused because of a field that does not apply to it."""
    try:
        GenerationParams.parse(request, DEFAULTS)
    except RequestError as exc:
        assert exc.error_type == "not_applicable", exc
        return True
    return False


@pytest.mark.parametrize("field", NO_PROMPTS, ids=lambda field: field.name)
def test_what_a_field_is_said_to_apply_to_is_what_takes_it(field: Field) -> None:
    simple = {"bool": True, "int": 1, "float": 0.5}
    value = VALUES[field.name] if field.name in VALUES else simple[field.kind]
    for operation, prompt in PROMPTS.items():
        for mode in Mode if operation is Operation.GENERATE else (Mode.DIFFUSION,):
            if field.name in BESIDE_A_TEXT and operation is Operation.GENERATE:
                prompt = {"text_input": "a"}
            request = {**prompt, "mode": mode.value, **COMPANIONS.get(field.name, {}), field.name: value}
            said = mode in applies(field.name).get(operation, ())
            assert kept_out(request) is not said, (operation, mode)


@pytest.mark.parametrize("name", PROMPT_FIELDS)
def test_the_prompts_are_said_to_apply_to_what_they_ask_for(name: str) -> None:
    value = {"messages": [{"role": "user", "content": "a"}], "input_ids": [5], "segments": ["a", {}]}.get(name, "a")
    asked = GenerationParams.parse({name: value}, DEFAULTS).operation
    assert asked in applies(name)
    if name not in ("segments", "text"):
        assert (Operation.INFILL in applies(name)) is not kept_out({name: value, "suffix": "b"})


def test_every_output_and_counter_is_explained() -> None:
    page = RENDERED["counters.md"]
    assert all(output.help and f"| `{output.name}` |" in page for output in OUTPUTS)
    assert set(MEANINGS) == set(Counters().as_dict())
    asking = {output.asked_by for output in OUTPUTS}
    without_effect = {"return_finish_reason"}  # it always comes
    assert {field.name for field in FIELDS if field.name.startswith("return_")} - without_effect <= asking
    assert asking - {field.name for field in FIELDS} == {""}


def test_every_metric_and_label_is_explained() -> None:
    page = RENDERED["metrics.md"]
    assert all(f"| `{metric.name}` | {metric.kind} | {UNITS[metric.name]} |" in page for metric in METRICS)
    assert {label for metric in METRICS for label in metric.labels} == set(LABELS)
    assert all(f"| `{label}` |" in page for label in LABELS)
    assert all(f"`{kind}`" in LABELS["kind"] for kind in FORWARD_KINDS)
    assert all(f"`{row.outcome}`" in LABELS["outcome"] for row in ERROR_TYPES.values())


def test_every_error_is_explained() -> None:
    page = RENDERED["errors.md"]
    for row in ERROR_TYPES.values():
        assert row.meaning.endswith(".") and row.remedy.endswith(".")
        assert f"| `{row.name}` | {row.meaning} | {row.remedy} |" in page


def test_every_key_of_the_configuration_is_explained() -> None:
    page = RENDERED["configuration.md"]
    assert list(settings()) == list(vars(ServerConfig()))
    for key, setting in settings().items():
        assert f"| `{key}` |" in page and setting.help in page
        assert f"`TRIMODE_{key.upper()}`" in page


def options(parser: argparse.ArgumentParser) -> set[str]:
    """Every option of a program and its commands, without --help."""
    found: set[str] = set()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= {option for command in action.choices.values() for option in options(command)}
        found |= set(action.option_strings)
    return found - {"-h", "--help"}


@pytest.mark.parametrize("parser", [client.parser(), server.parser(), converter.parser()], ids=lambda made: made.prog)
def test_every_option_is_explained(parser: argparse.ArgumentParser) -> None:
    explained = set(re.findall(r"`(-[\w-]+)[` ]", RENDERED["cli.md"]))
    assert options(parser) - explained == set()


def test_the_command_lines_do_not_depend_on_the_terminal_or_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    assert rendered() == RENDERED
    assert not [name for name, text in RENDERED.items() if str(REFERENCE.parents[1]) in text or sys.prefix in text]


def test_a_usage_shows_what_must_be_given() -> None:
    parser = argparse.ArgumentParser(prog="p")
    parser.add_argument("left")
    parser.add_argument("right", nargs="?")
    parser.add_argument("--out", required=True, metavar="DIR")
    assert usage(parser) == "p --out DIR LEFT [RIGHT]"
    parser.add_argument("--how", choices=("a", "b"))
    assert usage(parser) == "p [options] --out DIR LEFT [RIGHT]"


def test_a_cell_stays_one_cell() -> None:
    assert table(("a", "b"), [("x|y", "one\ntwo"), ("", "3")]) == (
        "| a | b |\n| --- | --- |\n| x\\|y | one two |\n| - | 3 |"
    )


def test_tags_are_escaped_outside_code() -> None:
    assert plain("thought and </think>, `<b>`") == "thought and &lt;/think>, `<b>`"
