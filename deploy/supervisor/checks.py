"""`./run check`: everything that needs no server, the same here, before a commit and in CI; and how tests are run."""

import os
import shlex
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from deploy.supervisor.layout import Layout

_CHECKS = {  # the soonest done, then the longest
    "format": ("ruff", "format", "--check", "."),
    "lint": ("ruff", "check", "."),
    "types": ("mypy",),
    "tests": ("pytest", "-q", "-n", "auto", "--maxprocesses", "4", "--dist", "loadfile", "tests/pure", "tests/service"),
    "imports": ("lint-imports", "--no-logo", "--cache-dir", "{cache}/imports"),
    "dependencies": ("deptry", "."),
    # Not of those who use a client that is generated, and so no package here.
    "dependencies of tests": (
        *("deptry", ".", "-e", r"\.venv", "-e", r"\.run", "-e", "tests/clients", "-nddg", "dev", "-i", "DEP002"),
    ),
}

# A worker on each core and one more, since some always wait for what is killed to come back; each has servers of its
# own. The tests of one file are one worker's, in their order.
_WORKERS = min((os.cpu_count() or 1) + 1, 4)
_PARALLEL = ("-n", str(_WORKERS), "--dist", "loadfile", "--no-loadscope-reorder")


def check(layout: Layout) -> int:
    """Run every check, as many at once as there are cores, also after one has failed; return 0 when all have passed.

    What one says is shown when it has ended, so that no two are mixed.
    """
    failed = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        running = [pool.submit(_run, layout, name, *command) for name, command in _CHECKS.items()]
        try:
            for done in as_completed(running):
                name, passed, said = done.result()
                print(said, flush=True)
                failed += [] if passed else [name]
        except BaseException:  # Ctrl-C: those that run have had it too
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    print(f"failed: {', '.join(failed)}" if failed else "all checks passed")
    return 1 if failed else 0


def _run(layout: Layout, name: str, program: str, *arguments: str) -> tuple[str, bool, str]:
    """Run one check; return its name, whether it passed, and what is to be shown of it."""
    argv = [str(layout.venv / "bin" / program), *(part.format(cache=cache_dir(layout)) for part in arguments)]
    begin = time.monotonic()
    done = subprocess.run(
        argv,
        cwd=layout.root,
        env=tool_environment(layout),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    passed = done.returncode == 0
    ending = f"== {name}: {'passed' if passed else 'FAILED'} in {time.monotonic() - begin:.1f} s"
    return name, passed, f"== {name}: {program} {' '.join(argv[1:])}\n{done.stdout}{ending}\n"


def pytest_arguments(given: Sequence[str]) -> Sequence[str]:
    """What pytest is called with: whoever names no test gets all of them, several at once."""
    names_some = any(not argument.startswith("-") for argument in given)
    return given if names_some else (*_PARALLEL, *given)


def cache_dir(layout: Layout) -> str:
    """Where the tools keep their caches: with everything else of ours."""
    return str(layout.run / "cache")


def tool_environment(layout: Layout) -> dict[str, str]:
    """The environment that keeps what the tools write below `.run/`."""
    cache = cache_dir(layout)
    temporary = layout.run / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    options = ("-o", f"cache_dir={cache}/pytest", "-o", "tmp_path_retention_policy=failed")
    return {
        **os.environ,
        "PYTHONDONTWRITEBYTECODE": "1",
        "RUFF_CACHE_DIR": f"{cache}/ruff",
        "MYPY_CACHE_DIR": f"{cache}/mypy",
        "HYPOTHESIS_STORAGE_DIRECTORY": f"{cache}/hypothesis",
        "COVERAGE_FILE": f"{cache}/coverage",
        "PYTEST_DEBUG_TEMPROOT": str(temporary),
        "PYTEST_ADDOPTS": " ".join((os.environ.get("PYTEST_ADDOPTS", ""), *map(shlex.quote, options))),
    }
