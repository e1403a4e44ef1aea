"""MkDocs hook: adds the generated pages to the site, and rewrites links that leave `docs/`."""

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs.generator import dictionary, gates, glossary, notebooks, reference

ROOT = Path(__file__).parents[2]
# Files of the repository's root that are pages of the site.
ROOT_PAGES = {
    "README.md": "readme.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill in the navigation of the API reference, which follows the tree of the packages."""
    assert config.nav is not None
    config.nav = [_with_reference(entry) for entry in config.nav]
    return config


def _with_reference(entry: Any) -> Any:
    return {"API reference": reference.navigation()} if entry == "reference/" else entry


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add every page that is not a file of `docs/`."""
    pages: dict[str, str | bytes] = {
        **{page: _root_page(name) for name, page in ROOT_PAGES.items()},
        **reference.pages(),
        "data-dictionary.md": dictionary.page(),
        "gates.md": gates.page(),
        "glossary.md": glossary.page(),
    }
    for notebook in sorted((ROOT / "docs/notebooks").glob("*.ipynb")):
        pages |= notebooks.page(notebook)
    for uri, content in pages.items():
        files.append(File.generated(config, uri, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links to the root's files and to notebooks at their pages."""
    up = "../" * page.file.src_uri.count("/")
    for name, target in ROOT_PAGES.items():
        markdown = markdown.replace(f"]({up}../{name}", f"]({up}{target}")
    return markdown.replace(".ipynb)", ".md)")


def _root_page(name: str) -> str:
    """The page made from a file of the root: its links are relative to `docs/`."""
    text = re.sub(r"\]\(docs/", "](", (ROOT / name).read_text())
    for other, target in ROOT_PAGES.items():
        text = text.replace(f"]({other}", f"]({target}")
    return text
