"""How root runs a program that refuses to be run by root (PostgreSQL)."""

import functools
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from deploy.supervisor.programs import succeeds
from deploy.supervisor.trouble import Trouble


@dataclass(frozen=True)
class Account:
    """Who such a program runs as."""

    prefix: tuple[str, ...] = ()  # Put before the program's own arguments.
    user: str | None = None  # To be switched to before the program starts.

    def own(self, directory: Path) -> None:
        """Make sure the account can write here.

        Raises:
            Trouble: a directory above is closed to it.
        """
        if self.user is None:
            return
        for path in (directory, *directory.rglob("*")):
            shutil.chown(path, self.user, self.user)
        test = subprocess.run(
            ["test", "-w", str(directory)], user=self.user, group=self.user, extra_groups=[], check=False
        )
        if test.returncode != 0:
            message = (
                "PostgreSQL refuses to run as root, user namespaces are off here, and "
                f"{self.user} cannot reach {directory}: open the directories above it (chmod o+x), "
                "or run as an ordinary user"
            )
            raise Trouble(message)


@functools.cache
def unprivileged_account() -> Account:
    """Choose how to leave root behind.

    An ordinary user stays as it is. For root the best way is a user namespace that shows us as an ordinary
    user: files stay root's, directories closed to others stay reachable, the pid is the program's own.
    """
    if os.geteuid() != 0:
        return Account()
    entry = _ordinary_user()
    prefix = ("unshare", "--user", f"--map-user={entry.pw_uid}", f"--map-group={entry.pw_gid}", "--")
    return Account(prefix=prefix) if succeeds(*prefix, "true") else Account(user=entry.pw_name)


def _ordinary_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
