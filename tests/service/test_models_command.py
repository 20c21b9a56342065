"""`tripthread models` shows what is configured, and asks it."""

from pathlib import Path
from typing import Any

from deploy.commands.models import HEADS, Row, table
from deploy.sandbox.serving import serving
from deploy.sandbox.settings import SandboxSettings
from shared.settings import Settings
from tests.service.gateway.model.stand_in import DONE, HI, STOP, Reply, standing_in


async def test_each_model_of_each_upstream_is_asked(tmp_path: Path) -> None:
    async with (
        serving(SandboxSettings(llm_port=0, avinode_port=0)) as sandbox,
        standing_in(Reply((b"{}",), 503)) as broken,
    ):
        file = tmp_path / "models.toml"
        file.write_text(
            f'[[upstreams]]\nname = "good"\nbase_url = "{sandbox.model}/v1"\n'
            'models = [{name = "m", aliases = ["n"]}]\n'
            f'[[upstreams]]\nname = "bad"\nbase_url = "{broken.url}"\nmodels = [{{name = "m", sent_as = "o"}}]\n'
            'passes_any = true\nprovider = "openai"\n'
        )
        settings = Settings(_env_file=None, models_file=str(file), default_model="m")
        heads, good, bad, other = await table(settings, ask=True)
    assert heads.cells == HEADS
    assert good.cells[:5] == ("m", "openai", "n", "good", "")
    assert good.cells[5].startswith("yes, after ")
    assert bad == Row(("m", "openai", "n", "bad", "o", "no: the model's service answered 503"), is_trouble=True)
    assert other.cells[3] == "bad"


async def test_nobody_is_asked_where_that_is_not_wanted() -> None:
    _, usual, other = await table(Settings(_env_file=None, openai_base_url="http://127.0.0.1:9/v1"), ask=False)
    assert usual == Row(("sandbox-small", "openai", "", "environment", "", ""))
    assert other == Row(("(any other)", "openai", "", "environment", "", ""))


async def test_model_that_titles_sessions_is_asked_too_where_nobody_lists_it() -> None:
    def answer(request: dict[str, Any]) -> Reply:
        return Reply((b"{}",), 404) if request["model"] == "mistyped" else Reply((HI, STOP, DONE))

    async with standing_in(answer) as service:
        _, usual, titling, _ = await table(service.settings(title_model="mistyped"), ask=True)
        assert len(await table(service.settings(title_model="sandbox-small"), ask=False)) == 3
    assert (usual.cells[0], usual.is_trouble) == ("sandbox-small", False)
    assert (titling.cells[0], titling.is_trouble) == ("mistyped", True)
