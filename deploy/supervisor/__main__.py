"""The commands of `./run`."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence

from deploy.supervisor import docker, native
from deploy.supervisor.checks import check, pytest_arguments, tool_environment
from deploy.supervisor.ending import end_by_signals
from deploy.supervisor.layout import PROJECT
from deploy.supervisor.logs import show_logs
from deploy.supervisor.machine.env_file import read_env
from deploy.supervisor.machine.lock import LockedError
from deploy.supervisor.mode import choose_mode
from deploy.supervisor.private.servers import install_servers
from deploy.supervisor.stack import run_stack
from deploy.supervisor.trouble import Trouble, refusal
from deploy.supervisor.up_options import parse_up_options
from deploy.supervisor.venv import prepare_venv
from deploy.terminal import forget_output, plain

HELP = """\
Tripthread: every conversation stored, tagged and tied to its trip.

  ./run up [--detach]        start everything and say where it is (./run up --help: more options)
  ./run down                 stop it; the data stays in .run/
  ./run demo                 one conversation through the running stack, from the first question to the quotes
  ./run tripthread ARGS      the operators' command line (./run tripthread --help)
  ./run status               every process: its state, pid, restarts and ports
  ./run logs [NAME] [-f]     what they print, or one of them; -f goes on as they print it
  ./run start NAME           start one process of the running stack: logger, gateway_2, rabbitmq, ...
  ./run stop NAME            stop one, and keep it stopped

  ./run check                format, lint, types, imports, dependencies, tests that need no server
  ./run test [ARGS]          all tests, on real servers of their own; ARGS are pytest's
  ./run bench [NAME]         the benchmarks

Everything it makes is in .venv/ and .run/. PYTHON=/path/to/python3 chooses the interpreter (3.11 or later).
"""


def up(arguments: Sequence[str]) -> int:
    options = parse_up_options(arguments)
    end_by_signals()
    if choose_mode(PROJECT, options) == "docker":
        docker.up(PROJECT, detach=options.detach)
        return 0
    prepare_venv(PROJECT)
    install_servers(log=PROJECT.log("apt"))
    native.up(PROJECT, options.counts, detach=options.detach)
    return 0


def down(arguments: Sequence[str]) -> int:
    _none(arguments, "./run down")
    if not docker.down(PROJECT):
        native.down(PROJECT)
    return 0


def status(arguments: Sequence[str]) -> int:
    _none(arguments, "./run status")
    if docker.is_ours(PROJECT):
        return docker.status(PROJECT)
    native.status(PROJECT)
    return 0


def logs(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="./run logs", description="Show what the processes print.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only this one's; otherwise everybody's")
    parser.add_argument("-f", "--follow", action="store_true", help="go on as they print more")
    wanted = parser.parse_args(arguments)
    if docker.is_ours(PROJECT):
        return docker.logs(PROJECT, wanted.names, follow=wanted.follow)
    return show_logs(PROJECT, wanted.names, follow=wanted.follow)


def start(arguments: Sequence[str]) -> int:
    name = _only(arguments, "./run start NAME")
    if docker.is_ours(PROJECT):
        return docker.start(PROJECT, name)
    native.start(PROJECT, name)
    return 0


def stop(arguments: Sequence[str]) -> int:
    name = _only(arguments, "./run stop NAME")
    if docker.is_ours(PROJECT):
        return docker.stop(PROJECT, name)
    native.stop(PROJECT, name)
    return 0


def check_all(arguments: Sequence[str]) -> int:
    _none(arguments, "./run check")
    prepare_venv(PROJECT)
    return check(PROJECT)


def test(arguments: Sequence[str]) -> int:
    prepare_venv(PROJECT)
    try:
        install_servers(log=PROJECT.log("apt"))
    except Trouble as trouble:  # The tests that need none, or are given some by URL, can still run.
        print(f"{trouble}\n", file=sys.stderr)
    return _become_python(("-m", "pytest", *pytest_arguments(arguments)), tool_environment(PROJECT))


def bench(arguments: Sequence[str]) -> int:
    prepare_venv(PROJECT)
    install_servers(log=PROJECT.log("apt"))
    return _become_python(("-m", "tests.bench", *arguments), tool_environment(PROJECT))


def demo(arguments: Sequence[str]) -> int:
    if not docker.is_ours(PROJECT):
        native.require_running(PROJECT)
    if "AVINODE_SANDBOX_URL" not in read_env(PROJECT.env_file):
        message = "it plays the operators at the simulated Avinode, and this stack is tied to the real one"
        raise Trouble(message)
    prepare_venv(PROJECT)
    return _become_python(("-m", "deploy.demo", *arguments), _stack_environment())


def tripthread(arguments: Sequence[str]) -> int:
    prepare_venv(PROJECT)
    if not PROJECT.env_file.exists() and "--help" not in arguments:
        print("(No stack runs here; going by the environment and .env.)", file=sys.stderr)
    return _become_python(("-m", "deploy.cli", *arguments), _stack_environment())


def show_help(_arguments: Sequence[str]) -> int:
    print(HELP, end="")
    return 0


def stack(arguments: Sequence[str]) -> int:
    """The process behind `./run up`; not for typing."""
    run_stack(PROJECT, json.loads(_only(arguments, "./run up")))
    return 0


COMMANDS: Mapping[str, Callable[[Sequence[str]], int]] = {
    "up": up,
    "down": down,
    "status": status,
    "logs": logs,
    "start": start,
    "stop": stop,
    "check": check_all,
    "test": test,
    "bench": bench,
    "demo": demo,
    "tripthread": tripthread,
    "help": show_help,
    "--help": show_help,
    "-h": show_help,
    "_stack": stack,
}


def main(argv: Sequence[str]) -> int:
    """Run one command; return its exit status."""
    name, *arguments = argv or ["help"]
    if name not in COMMANDS:
        print(f"./run: there is no command {name!r}\n\n{HELP}", end="", file=sys.stderr)
        return 2
    os.umask(os.umask(0o022) | 0o022)  # What we keep is for nobody else to change, whatever the caller's allows.
    try:
        return COMMANDS[name](arguments)
    except BrokenPipeError:  # Whoever read it has seen enough, as `head` has.
        forget_output()
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except (Trouble, LockedError, OSError) as error:
        what = refusal(error) if isinstance(error, OSError) else str(error)
        print(plain(f"./run {'up' if name == '_stack' else name}: {what}"), file=sys.stderr)
        return 1


def _none(arguments: Sequence[str], usage: str) -> None:
    """Refuse what a command would otherwise ignore: who asks for --help must not get the deed."""
    if arguments:
        message = f"it takes no arguments\nusage: {usage}"
        raise Trouble(message)


def _only(arguments: Sequence[str], usage: str) -> str:
    if len(arguments) != 1:
        message = f"usage: {usage}"
        raise Trouble(message)
    return arguments[0]


def _become_python(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Go on as the venv's Python, so that signals and the exit status are its own."""
    os.chdir(PROJECT.root)
    sys.stdout.flush()
    os.execve(PROJECT.python, [str(PROJECT.python), *arguments], dict(environment))  # noqa: S606 - no shell wanted


def _stack_environment() -> dict[str, str]:
    """The running stack's addresses and secrets over ours: an exported DATABASE_URL is likely another project's."""
    return {**os.environ, **read_env(PROJECT.env_file)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
