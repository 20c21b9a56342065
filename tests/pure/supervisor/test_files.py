"""What the supervisor writes, and how it reads it back."""

import stat
import subprocess
from pathlib import Path

import pytest

from deploy.supervisor.machine.env_file import read_env, write_env
from deploy.supervisor.machine.lock import LockedError, held, holder
from deploy.supervisor.machine.remembered import recall, remember
from deploy.supervisor.planned.credentials import load_credentials
from deploy.supervisor.trouble import Trouble
from deploy.supervisor.venv import fingerprint


def test_env_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    variables = {"A": "1", "URL": "postgresql://u:p@127.0.0.1:5432/d?x=y", "EMPTY": "", "PROMPT": 'say "$1" # x'}
    write_env(tmp_path / "env", variables)

    assert read_env(tmp_path / "env") == variables


def test_env_file_is_read_by_a_shell_as_it_was_written(tmp_path: Path) -> None:
    write_env(tmp_path / "env", {"KEY": "a b$c # d&e"})

    said = subprocess.run(
        ["sh", "-c", '. "$0"; printf %s "$KEY"', str(tmp_path / "env")], capture_output=True, check=True
    )

    assert said.stdout == b"a b$c # d&e"


@pytest.mark.parametrize("value", ["it's", "two\nlines"])
def test_value_that_readers_disagree_on_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(Trouble, match="OPENAI_API_KEY"):
        write_env(tmp_path / "env", {"OPENAI_API_KEY": value})


def test_comment_behind_a_value_is_not_part_of_it(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1 # one\nB= # none\nC='x # y' # z\nD=p#q\nE=\"it's\" # it\n")

    assert read_env(tmp_path / ".env") == {"A": "1", "B": "", "C": "x # y", "D": "p#q", "E": "it's"}


def test_env_file_is_its_owners_alone(tmp_path: Path) -> None:
    write_env(tmp_path / "env", {"JWT_SECRET": "s"})

    assert stat.S_IMODE((tmp_path / "env").stat().st_mode) == 0o600


def test_env_file_leaves_no_draft_behind(tmp_path: Path) -> None:
    write_env(tmp_path / "env", {"A": "1"})

    assert [path.name for path in tmp_path.iterdir()] == ["env"]


def test_env_file_written_by_hand_may_have_comments_quotes_and_exports(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("# the model\n\nexport OPENAI_API_KEY = 'sk-1'\nB=\"two words\"\n  # C=3\nD='\n")

    assert read_env(tmp_path / ".env") == {"OPENAI_API_KEY": "sk-1", "B": "two words", "D": "'"}


def test_missing_env_file_holds_nothing(tmp_path: Path) -> None:
    assert read_env(tmp_path / "env") == {}


def test_facts_are_remembered(tmp_path: Path) -> None:
    path = tmp_path / "deeper" / "server.json"
    assert recall(path) == {}

    remember(path, {"port": 20_001})

    assert recall(path) == {"port": 20_001}


def test_credentials_are_made_once(tmp_path: Path) -> None:
    first = load_credentials(tmp_path / "secrets.json")

    assert load_credentials(tmp_path / "secrets.json") == first
    assert len(set(first.values())) == len(first)
    assert all(len(secret) >= 32 for secret in first.values())


def test_new_credential_is_added_to_the_old_ones(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    remember(path, {"jwt_secret": "kept"})

    credentials = load_credentials(path)

    assert credentials["jwt_secret"] == "kept"
    assert credentials["cookie_secret"]


def test_lock_tells_its_holder_until_it_is_given_back(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert holder(path) is None

    with held(path):
        assert holder(path) is not None
        with pytest.raises(LockedError), held(path):
            pass

    assert holder(path) is None


def test_changed_requirements_change_the_fingerprint(tmp_path: Path) -> None:
    requirements = tmp_path / "requirements-dev.txt"
    requirements.write_text("structlog==26.1.0\n")
    before = fingerprint(requirements)

    requirements.write_text("structlog==26.1.1\n")

    assert fingerprint(requirements) != before
