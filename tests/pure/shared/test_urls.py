"""A URL that leads nowhere is told by the name of its variable, and never with the password in it."""

import pytest

from shared.configured.urls import malformed
from shared.settings import Settings

WRONG = (
    "",
    "charter",
    "//a:secret@host/x",
    "mysql://a:secret@host/x",
    "{}://a:secret@host:port/x",
    "{}://a:secret@[::1/",
)
RIGHT = {
    "database_url": ("postgresql://a:b@host/x", "postgres://h1:1,h2:2/x", "postgresql:///x?host=/run/postgresql"),
    "amqp_url": ("amqp://guest:guest@127.0.0.1:5672/", "amqps://a:b@host/%2Fv"),
    "openai_base_url": ("https://api.openai.com/v1", "http://[::1]:8090/v1"),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("setting", RIGHT)
def test_what_is_no_url_is_told_without_its_text(setting: str, wrong: str) -> None:
    said = malformed(setting, wrong.format(RIGHT[setting][0].partition(":")[0]))

    assert said is not None
    assert said.startswith(f"{setting.upper()} is not a URL such as ")
    assert "secret" not in said


@pytest.mark.parametrize(("setting", "url"), [(setting, url) for setting, urls in RIGHT.items() for url in urls])
def test_what_may_lead_somewhere_is_let_pass(setting: str, url: str) -> None:
    assert malformed(setting, url) is None


@pytest.mark.parametrize(
    ("part", "variable"),
    [
        ("gateway", "openai_base_url"),
        ("workflow", "avinode_base_url"),
        ("logger", "amqp_url"),
        ("migrate", "database_url"),
    ],
)
def test_part_does_not_run_on_what_is_no_url(part: str, variable: str) -> None:
    logins = ("", "gateway_", "reader_", "admin_", "logger_", "tagger_", "workflow_")
    urls = {f"{login}database_url": "postgresql://a:b@host/x" for login in logins}
    values = {**urls, variable: "charter"}
    settings = Settings(_env_file=None, **values)  # type: ignore[arg-type]  # a mapping of fields by name

    with pytest.raises(ValueError, match=variable.upper()):
        settings.checked_for(part)
