"""The other way to run the stack: docker compose, where an engine really answers."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from deploy.supervisor.credentials import ROLES, load_credentials
from deploy.supervisor.env_file import read_env, write_env
from deploy.supervisor.layout import Layout
from deploy.supervisor.trouble import Trouble

_ANSWER_S = 5.0
_PULL_S = 300.0


def why_not(layout: Layout) -> str:
    """Why docker compose cannot run the stack here; empty when it can.

    That the program is there says nothing: it may be a client without an engine, or an engine without compose
    or without a way to the images.
    """
    if not (layout.root / "deploy" / "compose.yaml").exists():
        return "there is no deploy/compose.yaml"
    if not _succeeds(["docker", "info", "--format", "{{.ServerVersion}}"], _ANSWER_S):
        return "no Docker engine answers"
    if not _succeeds(["docker", "compose", "version"], _ANSWER_S):
        return "docker has no compose plugin"
    _write_variables(layout)
    missing = next((image for image in _foreign_images(layout) if not _can_be_had(image)), None)
    return f"its image {missing} cannot be had" if missing else ""


def up(layout: Layout, *, detach: bool) -> None:
    """Build and start the stack; in the foreground show its logs until Ctrl-C, and stop it then.

    Raises:
        Trouble: it did not become healthy.
    """
    _write_variables(layout)
    _marker(layout).touch()
    if _compose(layout, "up", "--build", "--detach", "--wait") != 0:
        message = "docker compose did not bring the stack up: see above, or try ./run up --native"
        raise Trouble(message)
    _compose(layout, "ps")
    print(f"Tripthread is up in Docker. End it with {'./run down' if detach else 'Ctrl-C'}.", flush=True)
    if detach:
        return
    try:
        _compose(layout, "logs", "--follow", "--tail", "0")
    except KeyboardInterrupt:
        print("Stopping", flush=True)
    finally:
        down(layout)


def is_ours(layout: Layout) -> bool:
    """Whether docker compose runs the stack of this project."""
    return _marker(layout).exists()


def down(layout: Layout) -> bool:
    """Stop the stack if docker compose runs it here; its volumes stay. Tell whether there was anything to do."""
    if not is_ours(layout):
        return False
    _compose(layout, "down", "--remove-orphans")
    _marker(layout).unlink()
    return True


def _foreign_images(layout: Layout) -> list[str]:
    """The images that compose takes from elsewhere: all but the one it builds."""
    listed = subprocess.run(
        [*_command(layout), "config", "--images"], capture_output=True, text=True, check=False
    ).stdout.split()
    return sorted({image for image in listed if not image.startswith("tripthread")})


def _can_be_had(image: str) -> bool:
    here = _succeeds(["docker", "image", "inspect", image], _ANSWER_S)
    return here or _succeeds(["docker", "pull", "-q", image], _PULL_S)


def _compose(layout: Layout, *arguments: str) -> int:
    return subprocess.run([*_command(layout), *arguments], cwd=layout.root, check=False).returncode


def _command(layout: Layout) -> list[str]:
    file = layout.root / "deploy" / "compose.yaml"
    how = ["--project-name", "tripthread", "--env-file", str(_variables_file(layout)), "--file", str(file)]
    return ["docker", "compose", *how]


def _marker(layout: Layout) -> Path:
    """There from the moment compose is told to start the stack, until it has been told to stop it."""
    return layout.run / "in-docker"


def _variables_file(layout: Layout) -> Path:
    return layout.run / "compose.env"


def _write_variables(layout: Layout) -> None:
    """Write what compose.yaml asks of its environment; what the caller or `.env` says comes first."""
    credentials = load_credentials(layout.secrets_file)
    ours = {
        "POSTGRES_PASSWORD": credentials["postgres_password"],
        "RABBITMQ_PASSWORD": credentials["rabbitmq_password"],
        "JWT_SECRET": credentials["jwt_secret"],
        "COOKIE_SECRET": credentials["cookie_secret"],
        "AVINODE_WEBHOOK_PASSWORD": credentials["webhook_password"],
        **{f"{role.upper()}_DATABASE_PASSWORD": credentials[f"{role}_database_password"] for role in ROLES},
    }
    caller = {**read_env(layout.root / ".env"), **os.environ}
    write_env(_variables_file(layout), {**ours, **{key: caller[key] for key in ours if key in caller}})


def _succeeds(argv: Sequence[str], timeout_s: float) -> bool:
    try:
        return subprocess.run(argv, capture_output=True, timeout=timeout_s, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
