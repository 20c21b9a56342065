"""What the benchmarks count."""

import subprocess
import sys

from tests.bench.running.processor import cpu_ms_each, cpu_s
from tests.bench.running.profiled import Profile
from tests.processes import ROOT

BURN = "import time\nwhile time.process_time() < 0.5: pass"


def test_processor_time_holds_that_of_children_which_have_ended() -> None:
    script = f"{sys.executable} -c '{BURN}'; echo done; read held"
    with subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as shell:
        assert shell.stdout is not None
        assert shell.stdout.readline() == b"done\n"
        taken = cpu_s(shell.pid)
        shell.communicate(b"\n")
    assert taken >= 0.4  # in ticks of the kernel, rounded down for each of the two kinds


def test_processor_time_of_a_turn_is_what_was_added() -> None:
    assert cpu_ms_each({"gateway": 1.0}, {"gateway": 1.5}, turns=100) == {"gateway": 5.0}


def test_a_profile_is_told_by_the_innermost_function_of_ours() -> None:
    profile = Profile()
    serve = f"serve ({ROOT}/deploy/cli:1);run (asyncio/runners.x:1)"
    ours = f"{serve};answer ({ROOT}/services/chat/routes:1);of ({ROOT}/services/chat/memory:2)"
    profile.read(f"{ours};fetch (asyncpg/pool:3) 30\n{serve};read (aiormq/connection:4) 10\n")

    innermost, with_callees, alone = profile.table(8.0).split("\n\n")

    assert "6.000  of (services/chat/memory:2)" in innermost
    assert "2.000  none: read (aiormq/connection:4)" in innermost
    assert "6.000  answer (services/chat/routes:1)" in with_callees
    assert "6.000  fetch (asyncpg/pool:3)" in alone
