"""Whatever a file of ours refers to is in the tree: files, folders, and the sections of documents."""

import re
import subprocess
from collections.abc import Iterator, Set
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from posixpath import normpath

import pytest

ROOT = Path(__file__).parents[2]
THIS = "tests/pure/test_references.py"  # it plants dead references

READ = (".md", ".py", ".sql", ".sh", ".yaml", ".toml", ".example", "/run", "Dockerfile", ".dockerignore")
# What a tree has that is not a clone: prepared, built or left by a run.
MADE = frozenset((".git", ".run", ".venv", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis"))
# Folders that are there only after a run, and files that tests make.
MADE_LATER = frozenset((".run/", ".venv/", "sandbox.py", "models.toml", "session-s1.md"))
# Documents that once were cited by name, and are not in the tree.
CITED_BY_NAME = re.compile(r"\bDESIGN\b|(?<![\w/.-])requirements/[\w.-]*")

LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s#]*)(?:#([^)\s]+))?\)")
SECTION = re.compile(r"([\w./-]+\.md)`?,\s+(?:#\s+)?\"([^\"]+)\"")
# Letters, dots and dashes; `<name>`, `{name}` and `*` stand for any. A name before a parenthesis is a call.
FILE = re.compile(r"(?<![\w/.<>{}*~:-])[\w.<>{}*-][\w./<>{}*-]*\.(?:md|py|sql|sh|ya?ml|toml)\b(?![\w(/])")
FOLDER = re.compile(r"`([\w.<>{}*-]+(?:/[\w.<>{}*-]+)*/)`")
# A path without a suffix: known for one by its first folder.
BELOW = re.compile(r"`((?:services|shared|deploy|tests|docs)/[\w./<>{}*-]*)`")
PLACEHOLDER = re.compile(r"<\w+>|\{\w+\}|NNNN_name")


def tracked() -> list[str]:
    """List the project's files: as git does, or, where there is no git, all that nothing has made."""
    listing = ("git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    try:
        listed = subprocess.run(listing, capture_output=True, check=True, text=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        return sorted(_walk(ROOT))
    return [path for path in listed if path and (ROOT / path).is_file()]


def _walk(folder: Path) -> Iterator[str]:
    for entry in folder.iterdir():
        if entry.is_dir() and entry.name not in MADE:
            yield from _walk(entry)
        elif entry.is_file():
            yield entry.relative_to(ROOT).as_posix()


def with_folders(files: list[str]) -> Set[str]:
    """Add the folders that these files are in, each with its slash."""
    return {*files, *(f"{folder}/" for file in files for folder in PurePosixPath(file).parents if folder.name)}


TREE = with_folders(tracked())


def dead_references(file: str, text: str, tree: Set[str]) -> list[str]:
    """Return what `text` refers to, as the text of `file`, and `tree` has not."""
    return [
        *(found[0] for found in CITED_BY_NAME.finditer(text)),
        *(
            name
            for name in {*FILE.findall(text), *FOLDER.findall(text), *BELOW.findall(text)}
            if not _is_there(name, file, tree)
        ),
        *_dead_links(file, text, tree),
        *(
            f"{document}, {title}"
            for document, title in SECTION.findall(text)
            if title not in _titles(document, file, tree)
        ),
    ]


def _is_there(name: str, file: str, tree: Set[str]) -> bool:
    """Look from the root, from the file's folder, and, but for documents, below any folder: `store.py` is enough."""
    pattern = PLACEHOLDER.sub("*", name).removeprefix("./")
    if name in MADE_LATER:
        return True
    near = normpath(str(PurePosixPath(file).parent / pattern)) + "/" * pattern.endswith("/")
    anywhere = () if pattern.endswith(".md") else (f"*/{pattern}",)
    return any(_matches(place, tree) for place in (pattern, f"{pattern}/", near, f"{near}/", *anywhere))


def _matches(pattern: str, tree: Set[str]) -> bool:
    return pattern in tree or ("*" in pattern and any(fnmatchcase(path, pattern) for path in tree))


def _dead_links(file: str, text: str, tree: Set[str]) -> Iterator[str]:
    if not file.endswith(".md"):
        return
    for path, anchor in LINK.findall(text):
        place = normpath(str(PurePosixPath(file).parent / path)) if path else file
        if place not in tree and f"{place}/" not in tree:
            yield path
        elif anchor and anchor not in {_slug(title) for title in _titles(place, "", tree)}:
            yield f"{path}#{anchor}"


def _titles(document: str, file: str, tree: Set[str]) -> Set[str]:
    near = normpath(str(PurePosixPath(file).parent / document))
    place = next((place for place in (document, near) if place in tree), None)
    text = (ROOT / place).read_text() if place else ""
    return set(re.findall(r"^#+ (.+?)\s*$", text, flags=re.MULTILINE))


def _slug(title: str) -> str:
    """Name a section's anchor as GitHub does."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _is_text(file: str) -> bool:
    return f"/{file}".endswith(READ) and file != THIS


def test_whatever_is_referred_to_is_there() -> None:
    read = {file: (ROOT / file).read_text() for file in sorted(TREE) if _is_text(file)}
    dead = {file: dead_references(file, text, TREE) for file, text in read.items()}
    assert {file: names for file, names in dead.items() if names} == {}


@pytest.mark.parametrize(
    "planted",
    [
        "as API.md has it",
        "(AVINODE.md, 1.4)",
        "the 30 minutes are DESIGN's",
        "the fields of requirements/trip-sessions.md",
        "docs/gone.md",
        "`services/tagger/gone.py`",
        "`services/gone`",
        "`services/<name>/gone.py`",
        "`gone/`",
        "deploy/sql/9999_gone.up.sql",
        "[there](docs/gone.md)",
        "[there](#no-such-section)",
        "[there](ARCHITECTURE.md#no-such-section)",
        'ARCHITECTURE.md, "No such section"',
    ],
)
def test_a_dead_reference_is_found(planted: str) -> None:
    assert dead_references("README.md", f"See {planted}.", TREE) != []


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (
            "README.md",
            "[why](ARCHITECTURE.md#decisions), [here](deploy/sandbox/README.md), [out](https://ai-sdk.dev/x.md)",
        ),
        ("deploy/sandbox/README.md", "[up](../../README.md#two-commands)"),
        ("shared/events.py", 'bind it in `topology.py`, or `shared/topology.py`; ARCHITECTURE.md, "A turn"'),
        ("README.md", "`services/<name>/handlers.py`, `tests/pure`, `deploy/compose*.yaml`, `sql/`, `.run/`"),
        ("README.md", "requirements.txt, a call of stack.sql(query), and 'services/gateway' in quotes"),
    ],
)
def test_what_is_there_may_be_referred_to(file: str, said: str) -> None:
    assert dead_references(file, said, TREE) == []


def test_a_tree_without_git_is_read_all_the_same() -> None:
    assert {THIS, "README.md", "services/tagger/counter.py"} <= set(_walk(ROOT))
    assert not any(path.startswith((".venv/", ".run/")) for path in _walk(ROOT))
