"""`./run check`: everything that needs no server, the same here, before a commit and in CI."""

import os
import shlex
import subprocess
import time

from deploy.supervisor.layout import Layout

_CHECKS = {
    "format": ("ruff", "format", "--check", "."),
    "lint": ("ruff", "check", "."),
    "types": ("mypy",),
    "imports": ("lint-imports", "--no-logo", "--cache-dir", "{cache}/imports"),
    "dependencies": ("deptry", "."),
    # Not of those who use a client that is generated, and so no package here.
    "dependencies of tests": (
        *("deptry", ".", "-e", r"\.venv", "-e", r"\.run", "-e", "tests/clients", "-nddg", "dev", "-i", "DEP002"),
    ),
    "tests": ("pytest", "-q", "tests/pure", "tests/service"),
}


def check(layout: Layout) -> int:
    """Run every check, also after one has failed; return 0 when all have passed."""
    failed = []
    for name, (program, *arguments) in _CHECKS.items():
        argv = [str(layout.venv / "bin" / program), *(part.format(cache=cache_dir(layout)) for part in arguments)]
        print(f"== {name}: {program} {' '.join(argv[1:])}", flush=True)
        begin = time.monotonic()
        status = subprocess.run(argv, cwd=layout.root, env=tool_environment(layout), check=False).returncode
        print(f"== {name}: {'passed' if status == 0 else 'FAILED'} in {time.monotonic() - begin:.1f} s\n", flush=True)
        failed += [name] if status else []
    print(f"failed: {', '.join(failed)}" if failed else "all checks passed")
    return 1 if failed else 0


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
