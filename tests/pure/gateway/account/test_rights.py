"""What roles may do, in the code and in the table of docs/security.md."""

import re
from pathlib import Path

from services.gateway.account.rights import RIGHTS, may_give

GUIDE = (Path(__file__).parents[4] / "docs/security.md").read_text()


def test_the_table_says_what_the_code_does() -> None:
    (table,) = re.findall(r"^\| role \|.*\n\|[-|]+\n((?:\|.*\n)+)", GUIDE, flags=re.MULTILINE)
    told = {}
    for line in table.splitlines():
        role, makers, counted, abreast, administers = (cell.strip() for cell in line.strip("|").split("|"))
        told[role.strip("`")] = (
            set(re.findall(r"`(\w+)`", makers)),
            *(cell.startswith("yes") for cell in (counted, abreast, administers)),
        )
    assert told == {
        role: (
            {maker for maker in RIGHTS if may_give(maker, role)},
            not rights.calls_uncounted,
            rights.reads_abreast,
            rights.administers,
        )
        for role, rights in RIGHTS.items()
    }
