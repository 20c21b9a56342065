"""The other way to run the stack: docker compose, where an engine really answers."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from typing import IO

from deploy.supervisor.directions import LOGIN_LINK, print_directions
from deploy.supervisor.ending import end_calmly
from deploy.supervisor.layout import Layout
from deploy.supervisor.logs import show_plainly
from deploy.supervisor.machine.env_file import read_env, write_env
from deploy.supervisor.machine.ports import free_port
from deploy.supervisor.machine.programs import output_of, succeeds
from deploy.supervisor.machine.spool import open_log
from deploy.supervisor.planned.compose_env import choose_ports, compose_directions, compose_variables
from deploy.supervisor.planned.credentials import load_credentials
from deploy.supervisor.trouble import Trouble

_ANSWER_S = 5.0
_PULL_S = 300.0
_OUR_IMAGE = "TRIPTHREAD_IMAGE"  # Set by a caller who has our image built elsewhere.
_FILES = ("compose.yaml", "compose.development.yaml")


def why_not(layout: Layout) -> str:
    """Why docker compose cannot run the stack here; empty when it can.

    That the program is there says nothing: it may be a client without an engine, or an engine without compose
    or without a way to the images.
    """
    if not succeeds("docker", "info", "--format", "{{.ServerVersion}}", timeout_s=_ANSWER_S):
        return "no Docker engine answers"
    if not succeeds("docker", "compose", "version", timeout_s=_ANSWER_S):
        return "docker has no compose plugin"
    missing = next((image for image in _foreign_images(layout) if not _can_be_had(image)), None)
    if missing:
        return f"the image {missing} cannot be had"
    if _OUR_IMAGE not in os.environ and not _build(layout):
        return f"our image cannot be built, see {layout.log('docker-build')}"
    return ""


def is_ours(layout: Layout) -> bool:
    """Whether docker compose runs the stack of this project."""
    return layout.compose_file.exists()


def up(layout: Layout, *, detach: bool) -> None:
    """Build and start the stack; in the foreground show its logs until Ctrl-C, and stop it then.

    Raises:
        Trouble: it did not become healthy; what was started is stopped again.
    """
    _write_variables(layout)
    try:
        _start(layout)
        if detach:
            print_directions(layout, "End it with ./run down.", _login_link(layout))
            return
        print_directions(layout, "End it with Ctrl-C.", _login_link(layout))
        show_plainly([*_command(layout), "logs", "--follow", "--tail", "0"], layout.root, _environment(layout))
    except BaseException as reason:
        end_calmly()
        down(layout)
        if not isinstance(reason, KeyboardInterrupt):
            raise


def down(layout: Layout) -> bool:
    """Stop the stack if docker compose runs it here; its volumes stay. Tell whether there was anything to do."""
    if not is_ours(layout):
        return False
    _compose(layout, "down", "--remove-orphans")
    layout.compose_file.unlink()
    layout.env_file.unlink(missing_ok=True)
    return True


def status(layout: Layout) -> int:
    """Show the containers."""
    return _compose(layout, "ps", "--all")


def start(layout: Layout, name: str) -> int:
    """Start the containers of one service, and wait until they are healthy."""
    return _compose(layout, "up", "--detach", "--wait", "--no-deps", "--no-build", name)


def stop(layout: Layout, name: str) -> int:
    """Stop the containers of one service; they stay away until `start`."""
    return _compose(layout, "stop", name)


def logs(layout: Layout, names: Sequence[str], *, follow: bool) -> int:
    """Show what the containers have printed."""
    wanted = ("logs", "--tail", "100", *(["--follow"] if follow else []), *names)
    if sys.stdout.isatty():
        return show_plainly([*_command(layout), *wanted], layout.root, _environment(layout))
    return _compose(layout, *wanted)


def _start(layout: Layout) -> None:
    build = "--no-build" if _OUR_IMAGE in os.environ else "--build"
    if _compose(layout, "up", build, "--detach", "--wait") != 0:
        _compose(layout, "logs", "--tail", "20")
        message = "docker compose did not bring the stack up: see above, or try ./run up --native"
        raise Trouble(message)
    write_env(layout.env_file, compose_directions(read_env(layout.compose_file)) | _admin_token(layout))


def _build(layout: Layout) -> bool:
    log = layout.log("docker-build")
    log.unlink(missing_ok=True)
    print(f"Building the image (output in {log})", flush=True)
    _write_variables(layout)
    try:
        with open_log(log) as output:
            return _compose(layout, "build", output=output) == 0
    finally:
        layout.compose_file.unlink()  # It tells that compose runs the stack; that is yet to come.


def _write_variables(layout: Layout) -> None:
    """Write the variables for compose; the ports of a stack that runs stay."""
    ports = choose_ports(lambda preferred, taken: free_port(preferred, taken=taken))
    last = read_env(layout.compose_file)
    ports |= {name: last[name] for name in ports if name in last}
    caller = {**read_env(layout.root / ".env"), **os.environ}
    variables = compose_variables(load_credentials(layout.secrets_file), ports, caller)
    write_env(layout.compose_file, variables)


def _admin_token(layout: Layout) -> dict[str, str]:
    return {"ADMIN_TOKEN": _operate(layout, "token", "--user", "admin", "--role", "admin", "--expires", "30d")}


def _login_link(layout: Layout) -> str:
    """Have a link made that signs a browser in as the administrator, once."""
    return _operate(layout, *LOGIN_LINK, "--url", read_env(layout.env_file)["TRIPTHREAD_URL"])


def _operate(layout: Layout, *arguments: str) -> str:
    command = [*_command(layout), "run", "--rm", "--no-deps", "--no-TTY", "operator", *arguments]
    return output_of(f"tripthread {arguments[0]}", *command, env=_environment(layout))


def _foreign_images(layout: Layout) -> list[str]:
    """The images that come from elsewhere: the servers', and the one that ours is built on, if not ours itself."""
    text = "".join((layout.root / "deploy" / name).read_text() for name in _FILES)
    defaults = re.findall(r"\$\{((?!TRIPTHREAD_)\w+_IMAGE):-([^}]+)\}", text)
    images = [os.environ.get(name) or default for name, default in dict(defaults).items()]
    given = os.environ.get(_OUR_IMAGE)
    return images if given is None else [*images, given]


def _can_be_had(image: str) -> bool:
    here = succeeds("docker", "image", "inspect", image, timeout_s=_ANSWER_S)
    return here or succeeds("docker", "pull", "-q", image, timeout_s=_PULL_S)


def _compose(layout: Layout, *arguments: str, output: IO[bytes] | None = None) -> int:
    """Run a command of docker compose; what it says goes to `output`, or is seen."""
    command = [*_command(layout), *arguments]
    env = _environment(layout)
    return subprocess.run(command, cwd=layout.root, env=env, stdout=output, stderr=output, check=False).returncode


def _command(layout: Layout) -> list[str]:
    files = [part for name in _FILES for part in ("--file", str(layout.root / "deploy" / name))]
    dotenv = layout.root / ".env"  # What a person would have different; our own variables win.
    variables = [part for path in (dotenv, layout.compose_file) if path.exists() for part in ("--env-file", str(path))]
    return ["docker", "compose", "--project-name", _project(layout), *variables, "--profile", "sandbox", *files]


def _project(layout: Layout) -> str:
    """Name containers and volumes: a volume goes with the secrets it was made with, which are this project's own."""
    return f"tripthread-{load_credentials(layout.secrets_file)['project'][:8]}"


def _environment(layout: Layout) -> dict[str, str]:
    """Ours without what the file says: compose would prefer a variable that happens to be exported."""
    ours = read_env(layout.compose_file)
    return {key: value for key, value in os.environ.items() if key not in ours}
