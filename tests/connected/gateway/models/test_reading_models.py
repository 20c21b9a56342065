"""What the API shows of models that the tagger wrote."""

from tests.connected.gateway.stage import Rows, Stage


async def test_models_are_listed_newest_first(gateway: Stage, rows: Rows) -> None:
    for number, name in enumerate(("a", "b", "c")):
        await rows.model(name, at=number, short_id=f"a1b2c{number}")
    first = await gateway.get("/api/models", limit=2)
    rest = await gateway.get("/api/models", limit=2, cursor=first.json()["next_cursor"])
    assert [model["name"] for page in (first, rest) for model in page.json()["models"]] == ["c", "b", "a"]
