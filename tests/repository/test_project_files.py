"""The files for people who carry the work on: they parse, say what is there, and call nothing but make and .ci."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import trimode
import yaml
from trimode.server.launch.options import parser

from tests.support.layout import ROOT

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = [GITHUB / "ISSUE_TEMPLATE" / f"{name}.yml" for name in ("bug", "feature")]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
"""The kinds of change of keepachangelog.com."""
PINNED = re.compile(r"[\w.-]+/[\w.-]+@(release/)?v\d+")
"""An action by its major version. The index's own action has a branch for each."""
PYTHONS = ["3.11", "3.12"]
"""The versions of Python that the server runs with."""


def parsed(path: Path) -> dict[Any, Any]:
    """A YAML file that holds an object. The key `on` of a workflow is True in YAML 1.1."""
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def steps_of(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def targets_of(makefile: str) -> set[str]:
    """The targets of a makefile, those for the stages of the environment included."""
    lines = re.findall(r"^([^\s#:=][^:=]*):(?!=)", makefile, re.MULTILINE)
    return {target for line in lines for target in line.replace("$(VENV)", ".venv").split()}


def made_in(text: str) -> set[str]:
    """The targets that code in a document gives to make."""
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL))
    return set(re.findall(r"\bmake ((?!-)[\w./-]+)", code))


def files_in(text: str) -> set[str]:
    """The paths that a document names as code: what has a slash, and no blank and no placeholder."""
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return {span for span in spans if re.fullmatch(r"\.?\w[\w.-]*(/[\w.-]+)+/?", span)}


def foreign(command: str, targets: set[str]) -> bool:
    """Whether a workflow's command is anything but one call of make or of a script of .ci."""
    words = command.split()
    if "\n" in command.strip() or any(sign in command for sign in ("&&", "||", ";", "|", "$(", "`")):
        return True
    if words[0] == "make":
        return not set(words[1:]) <= targets
    script = ROOT / words[0]
    return script.parent != ROOT / ".ci" or not os.access(script, os.X_OK)


TARGETS = targets_of((ROOT / "Makefile").read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_sets_up_and_calls_make_or_ci(path: Path) -> None:
    commands = [step["run"] for step in steps_of(parsed(path)) if "run" in step]
    assert commands
    assert [command for command in commands if foreign(command, TARGETS)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_names_actions_by_their_major_version(path: Path) -> None:
    used = [step["uses"] for step in steps_of(parsed(path)) if "uses" in step]
    assert used
    assert [name for name in used if not PINNED.fullmatch(name)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_only_read_unless_a_job_says_more(path: Path) -> None:
    workflow = parsed(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] <= 90 for job in workflow["jobs"].values())


def test_continuous_integration_is_what_ci_run_runs() -> None:
    (job,) = parsed(GITHUB / "workflows" / "ci.yml")["jobs"].values()
    assert job["strategy"]["matrix"] == {"python": PYTHONS}
    assert [step.get("run") or step["uses"].partition("@")[0] for step in job["steps"]] == [
        "actions/checkout",
        "actions/setup-python",
        ".ci/run",
    ]
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[-1] == "make check"


def test_a_tag_releases_and_the_image_waits_for_a_maintainer() -> None:
    workflow = parsed(GITHUB / "workflows" / "release.yml")
    assert workflow[True] == {"push": {"tags": ["v*"]}}
    assert workflow["jobs"]["publish"]["permissions"] == {"id-token": "write"}
    assert "PUBLISH_IMAGE" in workflow["jobs"]["image"]["if"]
    assert {job["needs"] for name, job in workflow["jobs"].items() if name != "distributions"} == {"distributions"}


def test_pages_are_published_from_main_alone() -> None:
    jobs = parsed(GITHUB / "workflows" / "docs.yml")["jobs"]
    assert jobs["publish"]["if"] == "github.ref == 'refs/heads/main'"
    upload = next(step for step in jobs["build"]["steps"] if "upload" in step.get("uses", ""))
    assert upload["if"] == jobs["publish"]["if"]
    assert upload["with"]["path"] == yaml.load(  # its tags name Python objects
        (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader=_Plain
    ).get("site_dir")


class _Plain(yaml.SafeLoader):
    """YAML whose tags are not followed."""


_Plain.add_multi_constructor("!", lambda loader, suffix, node: None)
_Plain.add_multi_constructor("tag:", lambda loader, suffix, node: None)


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_asks_and_says_what_it_needs(path: Path) -> None:
    form = parsed(path)
    assert form["name"]
    assert form["description"]
    asked = [item for item in form["body"] if item["type"] != "markdown"]
    assert len({item["id"] for item in asked}) == len(asked) >= 3
    assert all(item["attributes"]["label"] for item in asked)
    assert any(item.get("validations", {}).get("required") for item in asked)


def test_issues_go_through_a_form() -> None:
    assert parsed(GITHUB / "ISSUE_TEMPLATE" / "config.yml") == {"blank_issues_enabled": False}


def test_the_pull_request_asks_for_what_the_rules_ask_for() -> None:
    text = (GITHUB / "pull_request_template.md").read_text(encoding="utf-8")
    assert made_in(text) <= TARGETS
    assert {"CHANGELOG.md", "tests/repository/wire.json"} <= set(re.findall(r"`([^`]+)`", text))


def test_every_kind_of_dependency_is_looked_after() -> None:
    updates = parsed(GITHUB / "dependabot.yml")["updates"]
    folders = {update["package-ecosystem"]: ROOT / update["directory"].lstrip("/") for update in updates}
    assert set(folders) == {"pip", "github-actions", "docker"}
    assert (folders["pip"] / "pyproject.toml").is_file()
    assert (folders["github-actions"] / ".github" / "workflows").is_dir()
    assert (folders["docker"] / "Dockerfile").is_file()


HOOKS = {hook["id"]: hook for repo in parsed(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]}


def test_every_hook_before_a_commit_is_local() -> None:
    assert {repo["repo"] for repo in parsed(ROOT / ".pre-commit-config.yaml")["repos"]} == {"local"}
    assert {hook["language"] for hook in HOOKS.values()} == {"system", "pygrep"}


def test_the_hooks_run_the_linters_of_the_environment() -> None:
    installed = {re.split(r"[<>=]", item)[0] for item in PROJECT["project"]["optional-dependencies"]["lint"]}
    commands = [hook["entry"].split() for hook in HOOKS.values() if hook["language"] == "system"]
    assert {tuple(words[:2]) for words in commands} == {(".venv/bin/python", "-m")}
    assert {words[2] for words in commands} == {"ruff", "mypy"} <= installed


@pytest.mark.parametrize(
    ("hook", "bad", "good"),
    [
        ("trailing-whitespace", b"a \n", b"a b\n"),
        ("end-of-file", b"a\nb", b"a\nb\n"),
        ("carriage-return", b"a\r\n", b"a\n"),
        ("merge-conflict", b"<<<<<<< ours\n", b"a = b << 7\n"),
    ],
)
def test_a_hook_finds_what_it_is_for(hook: str, bad: bytes, good: bytes) -> None:
    """As pre-commit's pygrep does: by line, or over the whole file with --multiline."""
    pattern = re.compile(HOOKS[hook]["entry"].encode())

    def finds(text: bytes) -> bool:
        parts = [text] if "--multiline" in HOOKS[hook].get("args", ()) else text.splitlines(keepends=True)
        return any(pattern.search(part) for part in parts)

    assert finds(bad)
    assert not finds(good)


def test_the_editors_settings_are_the_linters() -> None:
    settings = configparser.ConfigParser()
    settings.read_string("[top]\n" + (ROOT / ".editorconfig").read_text(encoding="utf-8"))
    assert settings["top"]["root"] == "true"
    assert int(settings["*"]["max_line_length"]) == PROJECT["tool"]["ruff"]["line-length"]
    assert settings["*"]["insert_final_newline"] == settings["*"]["trim_trailing_whitespace"] == "true"
    assert settings["Makefile"]["indent_style"] == "tab"


def test_contributing_names_targets_that_exist() -> None:
    named = made_in(CONTRIBUTING)
    stages = {f".venv/{stage}" for stage in ("serve", "test", "lint", "perf", "docs")}
    assert {"check", "docs", "format", "lint", "test", "test-quick", "test-train"} | stages <= named
    assert named <= TARGETS


def test_contributing_names_files_that_exist() -> None:
    missing = {name for name in files_in(CONTRIBUTING) if not (ROOT / name).exists()}
    assert missing - {"build/site"} == set()


@pytest.mark.parametrize("name", ["PARTS", "DECODERS", "FIELDS", "ECHO_ORDER", "METRICS", "UNITS", "ERROR_TYPES"])
def test_contributing_says_in_which_file_a_table_is(name: str) -> None:
    entry = next(text for text in re.split(r"\n(?=\d\. )", CONTRIBUTING) if f"`{name}`" in text)
    files = [ROOT / path for path in files_in(entry) if path.endswith(".py")]
    assert any(re.search(rf"^{name}\b.*=", path.read_text(encoding="utf-8"), re.MULTILINE) for path in files)


def sections_of(changelog: str) -> list[tuple[str, str]]:
    """The (heading, text) of each version."""
    parts = re.split(r"^## (.+)$", changelog, flags=re.MULTILINE)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


def wrong_in(changelog: str) -> list[str]:
    """What keepachangelog.com would not have so: headings, kinds, dates that do not fall."""
    (first, _), *released = sections_of(changelog)
    wrong = [] if first == "[Unreleased]" else [first]
    days = []
    for heading, _ in released:
        found = re.fullmatch(r"\[\d+\.\d+\.\d+\] - (\d{4}-\d\d-\d\d)", heading)
        wrong += [] if found else [heading]
        days += [date.fromisoformat(found[1])] if found else []
    wrong += [] if days == sorted(days, reverse=True) else ["dates"]
    return wrong + [kind for kind in re.findall(r"^### (.+)$", changelog, re.MULTILINE) if kind not in KINDS]


def test_the_changelog_has_the_form_of_keep_a_changelog() -> None:
    assert wrong_in(CHANGELOG) == []
    assert all(re.search(r"^### ", text, re.MULTILINE) for _, text in sections_of(CHANGELOG)[1:])


def test_the_newest_version_of_the_changelog_is_the_packages() -> None:
    assert sections_of(CHANGELOG)[1][0].startswith(f"[{trimode.__version__}]")


def test_a_tag_that_is_not_the_versions_builds_nothing() -> None:
    done = subprocess.run([ROOT / ".ci" / "distributions", "v999.0.0"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"the tag is v999.0.0 and the version in python_backend/trimode/__init__.py is {trimode.__version__}" in (
        done.stderr
    )


def test_security_names_options_and_ports_that_exist() -> None:
    options = {option for action in parser()._actions for option in action.option_strings}
    named = set(re.findall(r"--[a-z][\w-]+", SECURITY))
    assert {"--http-port", "--grpc-port", "--metrics-port"} <= named
    assert named <= options
    defaults = [parser().get_default(f"{name}_port") for name in ("http", "grpc", "metrics")]
    assert [int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", SECURITY)] == defaults
    assert parser().get_default("host") == "127.0.0.1"


def test_the_code_of_conduct_is_a_published_one() -> None:
    text = (ROOT / "CODE_OF_CONDUCT.md").read_text(encoding="utf-8")
    assert "https://www.contributor-covenant.org/version/2/1/code_of_conduct/" in text
    assert "Report a vulnerability" in SECURITY and "Report a vulnerability" in text  # the same private way


@pytest.mark.parametrize(
    "command",
    ["pip install x", "make lint && make test", "make no-such-target", ".ci/no-such-script", "make lint\nmake test"],
)
def test_a_command_of_its_own_is_found(command: str) -> None:
    assert foreign(command, TARGETS)
    assert not foreign("make lint", TARGETS)
    assert not foreign('.ci/distributions "$GITHUB_REF_NAME"', TARGETS)


def test_the_checks_of_documents_find_what_is_wrong() -> None:
    assert targets_of("a b: c\n\techo x: y\nX := 1\n$(VENV)/q: z\n") == {"a", "b", ".venv/q"}
    assert made_in("make nothing\n`make a`\n```\nmake b  # `x`\nmake -n c\n```\n") == {"a", "b"}
    assert files_in("`a/b.py` `no` `.ci/run` `x <y>/z` `a/<b>.py` a/c.py") == {"a/b.py", ".ci/run"}
    good = "# C\n## [Unreleased]\n### Added\n## [1.0.0] - 2026-02-01\n### Fixed\n## [0.9.0] - 2026-01-31\n"
    assert wrong_in(good) == []
    assert wrong_in(good.replace("[1.0.0]", "1.0.0")) == ["1.0.0 - 2026-02-01"]
    assert wrong_in(good.replace("02-01", "01-01")) == ["dates"]
    assert wrong_in(good.replace("Fixed", "Mended").replace("[Unreleased]", "Next")) == ["Next", "Mended"]
