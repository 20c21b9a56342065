"""How root runs a program that refuses to be run by root (PostgreSQL)."""

import functools
import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

from deploy.supervisor.machine.programs import succeeds
from deploy.supervisor.trouble import Trouble


@dataclass(frozen=True)
class Account:
    """Who such a program runs as: by number, for a group need not be named as its user is."""

    prefix: tuple[str, ...] = ()  # Put before the program's own arguments.
    user: int | None = None  # To be switched to before the program starts.
    group: int | None = None

    def own(self, path: Path) -> None:
        """Give the account what we have just made; never what a link of its making points at."""
        if self.user is not None and self.group is not None:
            os.chown(path, self.user, self.group, follow_symlinks=False)

    def take_over(self, data: Path) -> None:
        """Give the account a tree that was closed to it so far: it was made in a user namespace, as ours."""
        if self.user is None or data.lstat().st_uid != os.geteuid():
            return
        for path in (*data.rglob("*"), data):  # The way in last: until then the account can put nothing there.
            self.own(path)

    def open_way(self, directory: Path) -> None:
        """Let the account pass through a directory of ours, in which it may not write.

        Raises:
            Trouble: a directory above is closed to it.
        """
        if self.user is None:
            return
        os.chown(directory, os.geteuid(), os.getegid(), follow_symlinks=False)  # It was the account's once.
        directory.chmod(0o711)
        test = ["test", "-x", str(directory)]
        if subprocess.run(test, user=self.user, group=self.group, extra_groups=[], check=False).returncode != 0:
            message = (
                "PostgreSQL refuses to run as root, user namespaces are off here, and "
                f"{pwd.getpwuid(self.user).pw_name} cannot reach {directory}: open the directories above it "
                "(chmod o+x), or run as an ordinary user"
            )
            raise Trouble(message)


def account_of(entry: pwd.struct_passwd) -> Account:
    """The account of a user of this machine."""
    return Account(user=entry.pw_uid, group=entry.pw_gid)


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
    return Account(prefix=prefix) if succeeds(*prefix, "true") else account_of(entry)


def _ordinary_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
