"""What the documents point to is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))]


def without_code(page: Path) -> str:
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)


def anchors(page: Path) -> set[str]:
    """As GitHub names headings: lower case, spaces as hyphens, no other marks."""
    headings = re.findall(r"^#+ +(.*)$", without_code(page), flags=re.M)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(page)):
        if re.match(r"[a-z]+:", link):
            continue  # another machine's: tests ask no network
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{page.name}: {link}"


PACKAGES = "realtor_model|realtor_assets|realtor_serving|realtor_ui|realtor_local"


# Guides also name the files that their reader will write; tests/test_guides.py follows them.
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.parent.name != "guides"],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_every_module_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text()
    for path in re.findall(
        rf"(?<![\w/])((?:{PACKAGES}|benchmarks|tests)/[\w/]+(?:\.[a-z]+)?)", text
    ):
        assert (ROOT / path).exists(), f"{page.name} names {path}"
    for module in re.findall(rf"(?<![\w./])((?:{PACKAGES}|benchmarks)(?:\.[a-z_]+)+)\b", text):
        parts = module.split(".")
        names = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
        # The last part may be a function or a class of the module.
        assert any(_is_module(name) for name in names[:2]), f"{page.name} names {module}"


def _is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()
