"""A hook of mkdocs: links from pages to files of the repository outside docs/, which a site does not have.

On GitHub such a link works as it stands. On the site it leads to the file under `repo_url`, or becomes plain text where
no repo_url is set. An image is copied into the site instead. A link to a file that does not exist is left as it is, so
that `mkdocs build --strict` refuses it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
DOCS = "docs"
BRANCH = "main"
CODE_OR_LINK = re.compile(
    r"^(?P<indent> *)(?P<fence>```+|~~~+).*?^(?P=indent)(?P=fence) *$"  # a block of code
    r"|(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`)"  # code in a line
    r"|(?P<image>!?)\[(?P<text>(?:[^][]|\[[^][]*\])*)\]\((?P<url>[^)\s]+)\)",
    re.MULTILINE | re.DOTALL,
)
"""Code is found first, so that what looks like a link in it stays as it is."""


def outside(page: str, url: str) -> str | None:
    """Return the path of the file outside docs/ that a link leads to, relative to the repository, or None.

    Args:
        page: the path of the link's page below docs/.
        url: the link as it is written, relative to the page.
    """
    parts = urlsplit(url)
    if parts.scheme or parts.netloc or not parts.path or parts.path.startswith("/"):
        return None
    path = posixpath.normpath(posixpath.join(DOCS, posixpath.dirname(page), unquote(parts.path)))
    if path == DOCS or path.startswith((f"{DOCS}/", "..")) or not (ROOT / path).exists():
        return None
    return path


def rewritten(markdown: str, page: str, repo_url: str, add_image: Callable[[str], None]) -> str:
    """Return a page's text with its links to files outside docs/ as the site needs them.

    Args:
        markdown: the text.
        page: the page's path below docs/.
        repo_url: where the repository is published, or "".
        add_image: called with the path of an image, which must then be in the site at this path.
    """

    def link(match: re.Match[str]) -> str:
        path = outside(page, match["url"]) if match["url"] else None
        if path is None:
            return match[0]
        if match["image"]:
            add_image(path)
            return f"![{match['text']}]({posixpath.relpath(path, posixpath.dirname(page) or '.')})"
        if not repo_url:
            return match["text"]
        kind = "tree" if (ROOT / path).is_dir() else "blob"
        anchor = urlsplit(match["url"]).fragment
        place = f"{repo_url.rstrip('/')}/{kind}/{BRANCH}/{quote(path)}"
        return f"[{match['text']}]({place}{'#' if anchor else ''}{anchor})"

    return CODE_OR_LINK.sub(link, markdown)


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Rewrite the links of a page; mkdocs calls this before it renders the page."""

    def add_image(path: str) -> None:
        from mkdocs.structure.files import File  # here, so that the tests need no mkdocs

        if files.get_file_from_path(path) is None:
            files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))

    return rewritten(markdown, page.file.src_uri, config.repo_url or "", add_image)
