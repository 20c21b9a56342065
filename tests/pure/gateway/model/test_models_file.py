"""The file of upstreams: what it means, and that what is wrong with it is said by its key."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from services.gateway.model.configured.catalog import Catalog, read_catalog
from services.gateway.model.configured.models_file import ENVIRONMENT, InvalidModelsFile
from services.gateway.model.configured.prices import Prices
from shared.settings import Settings

EXAMPLE = Path(__file__).parents[4] / "docs" / "models.example.toml"
ONE = '[[upstreams]]\nname = "one"\nbase_url = "http://one/v1"\n'
TWO = '[[upstreams]]\nname = "two"\nbase_url = "http://two/v1"\n'


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_DIRECT_KEY", "AZURE_EAST_KEY", "MISTRAL_KEY"):
        monkeypatch.setenv(name, f"the-{name}")


def catalog(path: Path, text: str, **changes: Any) -> Catalog:
    file = path / "models.toml"
    file.write_text(text, encoding="utf-8")
    return read_catalog(Settings(_env_file=None, models_file=str(file), **changes))


def refusal(path: Path, text: str, **changes: Any) -> str:
    with pytest.raises(InvalidModelsFile) as refused:
        catalog(path, text, **changes)
    said = str(refused.value)
    assert said.startswith(f"MODELS_FILE {path / 'models.toml'}: ")
    return said.partition("models.toml: ")[2]


@pytest.mark.usefixtures("keys")
def test_the_example_says_what_it_says_it_does() -> None:
    read = read_catalog(Settings(_env_file=None, models_file=str(EXAMPLE), default_model="gpt-5-mini"))
    assert [upstream.name for upstream in read.upstreams] == ["openai", "azure-east", "own-vllm", "mistral"]
    assert {(model.provider, model.name) for model in read.models} == {
        ("openai", "gpt-5-mini"),
        ("openai", "gpt-5"),
        ("ours", "mistral-small"),
        ("mistral", "mistral-large-latest"),
    }
    mini, best, fast = read.find(None), read.find("best"), read.find("fast")
    assert mini is not None
    assert best is not None
    assert fast is not None
    assert [(offer.upstream.name, offer.upstream.weight, offer.sent_as) for offer in mini.offers] == [
        ("openai", 3, "gpt-5-mini"),
        ("azure-east", 1, "our-gpt-5-mini-deployment"),
    ]
    assert best.name == "gpt-5"
    assert best.offers[0].fields({"temperature": 0.7, "user": "ann"}) == {"reasoning_effort": "low", "temperature": 0.7}
    assert (fast.name, fast.aliases) == ("mistral-small", ("fast", "cheap"))
    assert fast.offers[0].fields({"temperature": 0.7}) == {"temperature": 0.2}
    assert fast.offers[0].prices == Prices(Decimal("0.15"), Decimal("0.6"), "EUR")
    assert mini.offers[0].prices is None
    assert (fast.context_bytes, mini.context_bytes) == (28_000 * 3.5, 100_000 * 4)
    openai, azure, own, mistral = read.upstreams
    assert openai.key.get_secret_value() == "the-OPENAI_DIRECT_KEY"
    assert own.key.get_secret_value() == ""
    assert (azure.limits.connect_s, azure.limits.first_piece_s, azure.limits.silence_s) == (2, 60, 30)
    assert azure.limits.turn_s == openai.limits.turn_s == 900
    assert own.habits.alternates
    assert mistral.habits.refused == {"prompt_cache_key", "stream_options"}
    assert read.find("sandbox-small") is None


def test_of_a_model_that_several_have_the_smallest_window_counts(tmp_path: Path) -> None:
    upstream = '[[upstreams]]\nname = "{0}"\nbase_url = "http://{0}.test/v1"\nmodels = [{{ name = "m"{1} }}]\n'
    text = upstream.format("a", ", context_tokens = 5000") + upstream.format("b", "") + upstream.format("c", "")
    read = catalog(tmp_path, text, default_model="m", context_tokens=9000, bytes_per_token=2.0)
    model = read.find("m")
    assert model is not None
    assert model.context_bytes == 10_000


def test_without_a_file_the_environment_has_its_model_and_takes_any() -> None:
    read = read_catalog(Settings(_env_file=None, model_provider="acme", default_model="m"))
    usual, other = read.find(None), read.find("other")
    assert usual is not None
    assert other is not None
    assert [model.name for model in read.models] == ["m"]
    assert (usual.name, usual.provider, usual.offers[0].upstream.name) == ("m", "acme", ENVIRONMENT)
    assert (other.name, other.provider, other.offers[0].sent_as) == ("other", "acme", "other")
    assert not read.is_listed("other")


def test_beside_a_file_the_environment_is_there_where_it_has_a_key(tmp_path: Path) -> None:
    listing = ONE + 'models = ["a"]\n'
    assert [each.name for each in catalog(tmp_path, listing, default_model="a").upstreams] == ["one"]
    both = catalog(tmp_path, listing, openai_api_key="k")
    listed, passed_on = both.find("a"), both.find("b")
    assert listed is not None
    assert passed_on is not None
    assert [offer.upstream.name for offer in listed.offers] == ["one"]
    assert [offer.upstream.name for offer in passed_on.offers] == [ENVIRONMENT]


def test_an_upstream_that_takes_any_is_asked_for_what_nobody_lists(tmp_path: Path) -> None:
    read = catalog(tmp_path, ONE + 'passes_any = true\nprovider = "p"\n')
    found = read.find("whatever")
    assert found is not None
    assert (found.provider, found.offers[0].upstream.name) == ("p", "one")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "upstreams: is missing"),
        ("upstreams = []", "upstreams: List should have at least 1 item after validation, not 0"),
        ("x = ", "is no TOML: Invalid value (at end of document)"),
        (ONE + 'key = "sk-1"', "upstreams[0].key: is not known"),
        ('[[upstreams]]\nname = "one"', "upstreams[0].base_url: is missing"),
        (ONE.replace("http://one", "one"), "upstreams[0].base_url: is not a URL such as https://host/path"),
        (
            ONE.replace('"one"', '"environment"'),
            "upstreams[0].name: is the name of the upstream that OPENAI_BASE_URL is",
        ),
        (ONE + ONE, "upstreams[1].name: there are two upstreams 'one'"),
        (ONE + "weight = 0", "upstreams[0].weight: Input should be greater than 0"),
        (ONE + 'weight = "3"', "upstreams[0].weight: Input should be a valid number"),
        (ONE + 'key_variable = "NOBODY_SET_THIS"', "upstreams[0].key_variable: NOBODY_SET_THIS is not set"),
        (ONE + 'models = [""]', "upstreams[0].models[0].name: String should have at least 1 character"),
        (ONE + 'models = [{sent_as = "a"}]', "upstreams[0].models[0].name: is missing"),
        (ONE + 'models = ["a", "a"]', "upstreams[0].models[1].name: 'a' is listed twice"),
        (
            ONE + 'models = ["a", {name = "b", aliases = ["a"]}]',
            "upstreams[0].models[1]: 'a' stands for 'a' already",
        ),
        (
            ONE + 'provider = "p"\nmodels = ["a"]\n' + TWO + 'provider = "q"\nmodels = ["a"]',
            "upstreams[1].models[0].provider: 'a' has another one at upstreams[0].models[0]",
        ),
        (
            ONE + "[upstreams.timeouts]\nsilence_s = -1",
            "upstreams[0].timeouts.silence_s: Input should be greater than 0",
        ),
        (
            ONE + '[upstreams.parameters]\nmodel = "x"',
            "upstreams[0].parameters.model: is no parameter: it is what every request has",
        ),
        (ONE + 'models = ["a"]', "no upstream lists DEFAULT_MODEL, 'sandbox-small'"),
    ],
)
def test_what_is_wrong_is_said_by_its_key(tmp_path: Path, text: str, said: str) -> None:
    assert refusal(tmp_path, text) == said


def test_model_that_is_to_title_sessions_must_be_had_by_its_name_or_an_alias(tmp_path: Path) -> None:
    listed = ONE + 'models = [{ name = "a", aliases = ["other"] }]'
    with pytest.raises(InvalidModelsFile, match=r"no upstream lists TITLE_MODEL, 'b'"):
        catalog(tmp_path, listed, default_model="a", title_model="b")
    catalog(tmp_path, listed, default_model="a", title_model="other")
    catalog(tmp_path, listed + "\n" + TWO + "passes_any = true\n", default_model="a", title_model="b")


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(InvalidModelsFile, match=r"MODELS_FILE /nowhere/models\.toml: No such file or directory"):
        read_catalog(Settings(_env_file=None, models_file="/nowhere/models.toml"))


def test_one_provider_is_the_usual_one_whether_or_not_it_is_said(tmp_path: Path) -> None:
    read = catalog(tmp_path, ONE + 'models = ["a"]\n' + TWO + 'provider = "openai"\nmodels = ["a"]', default_model="a")
    assert len(read.models[0].offers) == 2


def test_production_refuses_a_key_that_everybody_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE_KEY", "sandbox")
    said = refusal(tmp_path, ONE + 'key_variable = "ONE_KEY"\nmodels = ["a"]', environment="production")
    assert said == "upstreams[0].key_variable: ONE_KEY is a public secret"


def test_a_gateway_with_a_file_needs_no_key_of_the_environment() -> None:
    urls = dict.fromkeys(("gateway_database_url", "reader_database_url", "admin_database_url"), "postgresql://x")
    secrets = {name: f"{name:x<40}" for name in ("jwt_secret", "cookie_secret", "avinode_webhook_password")}
    given: dict[str, Any] = {
        **urls,
        **secrets,
        "environment": "production",
        "jwt_audience": "tripthread",
        "amqp_url": "amqp://gateway:x@rabbitmq/",
        "models_file": "models.toml",
    }
    assert Settings(_env_file=None, **given).checked_for("gateway")
    with pytest.raises(ValueError, match="OPENAI_API_KEY"):
        Settings(_env_file=None, **given, openai_api_key="sandbox").checked_for("gateway")
