"""The API reference: one page for each public module, in the tree of the packages.

A module is on the site if its name and those of its packages are public and it defines something
public with a docstring. Nothing is listed by hand, so a module that moves takes its page along.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PACKAGES = ("realtor_model", "realtor_assets", "realtor_serving")
FOLDER = "reference"

Navigation = list[dict[str, Any]]


def pages() -> dict[str, str]:
    """The Markdown of each page, by its path in the site."""
    return {
        _uri(name): _package_page(name) if _is_package(name) else f"::: {name}\n"
        for package in PACKAGES
        for name in _modules(package)
    }


def navigation() -> Navigation:
    """The packages with their modules, as MkDocs' `nav` takes them."""
    return [_entry(package) for package in PACKAGES]


def _entry(name: str) -> dict[str, Any]:
    title = name.rpartition(".")[2]
    if not _is_package(name):
        return {title: _uri(name)}
    return {title: [_uri(name), *map(_entry, _children(name))]}


def _modules(name: str) -> Iterator[str]:
    yield name
    for child in _children(name):
        yield from _modules(child)


def _children(name: str) -> list[str]:
    """The public modules and packages directly in the package `name`; packages first."""
    if not _is_package(name):
        return []
    folder = ROOT.joinpath(*name.split("."))
    found = sorted(folder.iterdir(), key=lambda path: (not path.is_dir(), path.name))
    names = [f"{name}.{path.stem}" for path in found if _is_public(path)]
    return [child for child in names if _children(child) or _defines_anything(child)]


def _is_public(path: Path) -> bool:
    """Whether `path` is a module or package to import; migrations start with a digit."""
    is_module = path.suffix == ".py" or (path / "__init__.py").exists()
    return is_module and path.stem.isidentifier() and not path.stem.startswith("_")


def _defines_anything(name: str) -> bool:
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and ast.get_docstring(node)
        for node in _tree(name).body
    )


def _package_page(name: str) -> str:
    own = "" if _defines_anything(name) else "    options:\n      members: false\n"
    rows = [
        f"| [{child.rpartition('.')[2]}]({_relative(child, name)}) | {_first_line(child)} |"
        for child in _children(name)
    ]
    table = "\n".join(["| module | what it holds |", "|---|---|", *rows]) if rows else ""
    return f"::: {name}\n{own}\n{table}\n"


def _first_line(name: str) -> str:
    """The first sentence of the module's docstring, which may go over two lines."""
    text = ast.get_docstring(_tree(name)) or ""
    return " ".join(text.partition("\n\n")[0].split()).replace("|", "\\|")


def _relative(child: str, parent: str) -> str:
    return _uri(child).removeprefix(_uri(parent).removesuffix("index.md"))


def _uri(name: str) -> str:
    path = "/".join((FOLDER, *name.split(".")))
    return f"{path}/index.md" if _is_package(name) else f"{path}.md"


def _is_package(name: str) -> bool:
    return ROOT.joinpath(*name.split("."), "__init__.py").exists()


def _tree(name: str) -> ast.Module:
    path = ROOT.joinpath(*name.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text())
