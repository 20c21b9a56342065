"""Root's PostgreSQL without user namespaces: as another account, which is given its data and nothing else."""

import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.supervisor.machine.unprivileged import Account, account_of
from deploy.supervisor.private.postgres import Postgres
from deploy.supervisor.private.servers import install_servers
from tests.connected.supervisor.project import Project

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="changing the account needs root")
NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def directory() -> Iterator[Path]:
    """Provide a directory that other accounts reach; pytest's own is closed to them."""
    directory = Path(tempfile.mkdtemp(prefix="tripthread-account-"))
    install_servers(log=directory / "apt.log")
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def owner(path: Path) -> int:
    return path.lstat().st_uid


def test_nobody_runs_it_whose_group_has_another_name(directory: Path) -> None:
    postgres = Postgres(directory / "postgres", account=account_of(NOBODY))

    postgres.start()

    try:
        status = Path(f"/proc/{postgres.pid}/status").read_text()
        assert f"Uid:\t{NOBODY.pw_uid}\t{NOBODY.pw_uid}\t{NOBODY.pw_uid}\t" in status
        assert f"Gid:\t{NOBODY.pw_gid}\t{NOBODY.pw_gid}\t{NOBODY.pw_gid}\t" in status
        assert "Groups:\t \n" in status
    finally:
        postgres.kill()


def test_account_gets_its_data_and_nothing_through_a_link(directory: Path) -> None:
    of_root = directory / "of-root"
    of_root.write_text("root's own")
    postgres = Postgres(directory / "postgres", account=account_of(NOBODY))
    postgres.start()
    postgres.stop()
    subprocess.run(["ln", "-s", of_root, directory / "postgres/data/planted"], user=NOBODY.pw_uid, check=True)

    postgres.start()
    postgres.kill()

    assert owner(of_root) == 0
    assert owner(directory / "postgres" / "data") == NOBODY.pw_uid
    assert owner(directory / "postgres") == owner(directory / "postgres" / "server.json") == 0
    # It could otherwise leave a link where root writes next.
    planting = ["ln", "-s", str(of_root), str(directory / "postgres/server.json.1.new")]
    assert subprocess.run(planting, user=NOBODY.pw_uid, capture_output=True, check=False).returncode != 0


def test_data_that_root_made_otherwise_is_handed_over(directory: Path) -> None:
    namespaced = Account(prefix=("unshare", "--user", f"--map-user={NOBODY.pw_uid}", f"--map-group={NOBODY.pw_gid}"))
    before = Postgres(directory / "postgres", account=namespaced)
    before.start()
    before.stop()

    after = Postgres(directory / "postgres", account=account_of(NOBODY))

    after.start()
    after.kill()
    assert {owner(path) for path in (directory / "postgres" / "data").rglob("*")} == {NOBODY.pw_uid}


def test_what_is_kept_is_nobody_elses_whatever_the_umask(lying_still: Project) -> None:
    shutil.rmtree(lying_still.root / ".run", ignore_errors=True)
    script = "umask 0; ./run up --native --detach"

    done = subprocess.run(["sh", "-c", script], cwd=lying_still.root, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    kept = [lying_still.root / ".run", *(lying_still.root / ".run").rglob("*")]
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in kept if not path.is_symlink()}
    assert [path for path, mode in modes.items() if mode & 0o022] == []
    assert [path for path, mode in modes.items() if path.suffix == ".log" and mode & 0o077] == []
