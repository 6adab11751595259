"""Files that the documents name exist, and links lead somewhere, to a heading where they name one."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from scripts import docs_links
from tests.support.layout import PACKAGES, ROOT

DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "train/README.md",
    ROOT / "perf/README.md",
]
NAMED = re.compile(r"`((?:[\w-]+/)*[\w-]+\.(?:py|md|yaml|pbtxt|json|txt))`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?)(?: +#+)?$", re.MULTILINE)
OWN_ANCHOR = re.compile(r"<\w+ [^>]*\b(?:id|name)=\"([^\"]+)\"")
FENCED = re.compile(r"^( *)(```+|~~~+).*?^\1\2`*~* *$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
NOT_OURS = {
    "config.json",
    "manifest.json",
    "digests.json",
    "expected.json",
    "checked.json",
    "model.yaml",
    "effort.json",
    "tokenizer.json",
    "quality.json",
    "overlap.json",
}
"""Files of a checkpoint, a bundle or a user, which documents may name without a place."""


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def known_files() -> frozenset[str]:
    """Every file of the repository's own, and each end of its path."""
    skipped = {".git", ".venv", ".hypothesis", "__pycache__", "runs", "site", "node_modules"}
    skipped |= {path.name for path in ROOT.glob(".venv-*")}
    ours = [path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file() and not skipped & set(path.parts)]
    return frozenset("/".join(path.parts[at:]) for path in ours for at in range(len(path.parts)))


def anchors_of(text: str) -> set[str]:
    """The anchors of a document: those of its headings, as GitHub and the site make them, and its own."""
    text = FENCED.sub("", text)
    found: set[str] = set()
    for heading in HEADING.findall(text):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        base = anchor = re.sub(r"[^\w\- ]", "", words).strip().replace(" ", "-")
        number = 0
        while anchor in found:
            number += 1
            anchor = f"{base}-{number}"
        found.add(anchor)
    return found | set(OWN_ANCHOR.findall(text))


@cache
def anchors_in(path: Path) -> frozenset[str]:
    return frozenset(anchors_of(path.read_text(encoding="utf-8")))


def links_of(text: str) -> list[str]:
    """The links of a document to files and headings; what is shown as code is none."""
    links: list[str] = LINK.findall(INLINE.sub("", FENCED.sub("", text)))
    return [link for link in links if not re.match(r"[a-z]+:", link)]


def broken(document: Path, links: list[str]) -> list[str]:
    """Those of a document's links that lead to no file, or to no heading of it."""
    found = []
    for link in links:
        name, _, anchor = link.partition("#")
        path = (document.parent / name).resolve() if name else document
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors_in(path)):
            found.append(link)
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_the_files_that_a_document_names_exist(document: Path) -> None:
    known = known_files()
    named = set(NAMED.findall(document.read_text(encoding="utf-8")))
    assert {name for name in named - NOT_OURS if name not in known} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_the_links_of_a_document_lead_somewhere(document: Path) -> None:
    assert broken(document, links_of(document.read_text(encoding="utf-8"))) == []


def test_the_walk_names_every_room() -> None:
    text = (ROOT / "docs/internals/architecture.md").read_text(encoding="utf-8")
    rooms = {path.stem for path in PACKAGES["trimode"].iterdir() if path.suffix == ".py" or path.is_dir()}
    table = text.partition("## Rooms")[2].partition("## ")[0]
    assert {room for room in rooms - {"__init__", "__pycache__"} if f"`{room}`" not in table} == set()


def test_anchors_are_made_as_github_makes_them() -> None:
    text = "# Many Requests, at `once`\n## A [link](x.md)!\n## a link\n```\n# no heading\n```\n### end_id\n"
    assert anchors_of(text) == {"many-requests-at-once", "a-link", "a-link-1", "end_id"}
    assert anchors_of('<a id="own"></a>') == {"own"}


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    text = "# One\n[a](#one) [b](#two) [c](other.md) [d](page.md#one) [e](https://x.y/z) `[f](g)`\n```\n[h](i)\n```\n"
    page.write_text(text, encoding="utf-8")
    assert links_of(text) == ["#one", "#two", "other.md", "page.md#one"]
    assert broken(page, links_of(text)) == ["#two", "other.md"]


@pytest.mark.parametrize(
    ("link", "on_the_site"),
    [
        ("[card](../../perf/README.md)", "[card](https://host/us/it/blob/main/perf/README.md)"),
        ("[`a`](../../perf/README.md#x)", "[`a`](https://host/us/it/blob/main/perf/README.md#x)"),
        ("[perf](../../perf)", "[perf](https://host/us/it/tree/main/perf)"),
        ("![plot](../../LICENSE)", "![plot](../LICENSE)"),
        ("[page](../index.md) [own](#a) [web](https://a/b)", None),
        ("[gone](../../no-such-file.md) [above](../../../../x.md)", None),
        ("`[card](../../perf/README.md)`\n```\n[card](../../perf/README.md)\n```\n", None),
    ],
)
def test_a_link_out_of_the_documentation_leads_to_the_repository(link: str, on_the_site: str | None) -> None:
    images: list[str] = []
    shown = docs_links.rewritten(link, "guides/page.md", "https://host/us/it/", images.append)
    assert shown == (on_the_site or link)
    assert images == (["LICENSE"] if link.startswith("!") else [])


def test_a_link_out_of_the_documentation_is_text_where_the_repository_has_no_place() -> None:
    assert docs_links.rewritten("See [`perf`](../perf/README.md).", "page.md", "", print) == "See `perf`."
