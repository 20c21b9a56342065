"""The place of a change is found by the tree alone: folders are short, and each says what is in it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST = 15
PACKAGES = sorted(
    file.parent.relative_to(ROOT).as_posix()
    for top in ("services", "shared", "deploy")
    for file in (ROOT / top).rglob("__init__.py")
)


def modules_of(package: str) -> list[str]:
    return sorted(file.stem for file in (ROOT / package).glob("*.py") if file.stem != "__init__")


def test_no_folder_has_more_files_than_are_seen_at_once() -> None:
    long = {package: len(modules_of(package)) for package in PACKAGES if len(modules_of(package)) > MOST}
    assert long == {}, "divide it by what its files do, as the layers in pyproject.toml have it of others"


@pytest.mark.parametrize("package", PACKAGES)
def test_a_folder_says_what_is_in_it(package: str) -> None:
    said = ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text()))
    assert said is not None
    assert len(said) > len("what is here")


@pytest.mark.parametrize("package", PACKAGES)
def test_a_folder_is_no_longer_way_to_one_file(package: str) -> None:
    rooms = [other for other in PACKAGES if Path(other).parent == Path(package)]
    assert len(modules_of(package)) + len(rooms) != 1
