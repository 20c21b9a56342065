"""How the statements of our logins are planned: once, and by an index, however small a table was at that time."""

import re

import pytest

from shared.ids import new_id
from shared.settings import Settings
from tests.servers import looking

PARAMETERS = "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'looking'"
BY_INDEX = {
    "reader_database_url": "SELECT title FROM chat.sessions WHERE session_id = $1 AND user_id = ANY ($2::text[])",
    "admin_database_url": "SELECT title FROM chat.sessions WHERE session_id = $1 AND user_id = ANY ($2::text[])",
    "gateway_database_url": "SELECT state FROM gateway.turns JOIN unnest($1::uuid[]) AS u (id) ON turn_id = id",
    "logger_database_url": "SELECT title FROM chat.sessions WHERE session_id = $1 AND user_id = ANY ($2::text[])",
    "tagger_database_url": "SELECT number FROM tagging.session_tags JOIN unnest($1::text[]) AS u (id) ON user_id = id",
}


@pytest.mark.parametrize("login", BY_INDEX)
async def test_a_plan_that_is_made_for_empty_tables_goes_by_an_index(settings: Settings, login: str) -> None:
    async with looking(getattr(settings, login)) as service:
        await service.execute(f"SET plan_cache_mode = force_generic_plan; PREPARE looking AS {BY_INDEX[login]}")
        count = await service.fetchval(PARAMETERS)
        plan = await service.fetch(f"EXPLAIN EXECUTE looking ({', '.join(['NULL'] * count)})")

        lines = "\n".join(line for (line,) in plan)
        assert re.search("Index (Only )?Scan", lines)
        assert "Seq Scan" not in lines
        assert "JIT" not in lines


@pytest.mark.parametrize("login", ["gateway_database_url", "logger_database_url", "tagger_database_url"])
async def test_a_statement_for_a_few_keys_is_planned_once(settings: Settings, login: str) -> None:
    async with looking(getattr(settings, login)) as service:
        # A short array, which the server would rather plan for anew each time.
        statement = await service.prepare("SELECT count(*) FROM unnest($1::uuid[]) AS wanted")
        for _ in range(10):
            await statement.fetch([new_id()])

        plans = "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE '%unnest%'"
        [(once, anew)] = [row for row in await service.fetch(plans) if row["generic_plans"] + row["custom_plans"] > 1]
        assert (once, anew) == (10, 0)
