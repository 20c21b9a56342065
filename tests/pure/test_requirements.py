"""What is installed is known by its hash, and what builds is the same for whoever builds."""

import re
import tomllib

import pytest

from tests.processes import ROOT

FILES = sorted(ROOT.glob("requirements*.txt"))
PINNED = re.compile(r"([a-z0-9._-]+)(\[[a-z,]+\])?==\S+( ; \S.*)? \\\n( {4}--hash=sha256:[0-9a-f]{64}( \\)?\n)+")


def test_the_files_are_those_that_are_installed() -> None:
    assert [path.name for path in FILES] == ["requirements-dev.txt", "requirements-tools.txt", "requirements.txt"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_requirement_has_its_version_and_hashes_and_no_address(path: object) -> None:
    text = (ROOT / str(path)).read_text()
    rest = PINNED.sub("", text)
    assert PINNED.findall(text)
    assert [line for line in rest.splitlines() if not line.lstrip().startswith("#")] == []
    assert "://" not in text
    assert "--generate-hashes" in text.splitlines()[1]


def test_the_build_backend_is_the_one_whose_hash_is_known() -> None:
    (backend,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert f"{backend} \\\n" in (ROOT / "requirements-tools.txt").read_text()
