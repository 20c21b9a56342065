"""What a login may do follows from the topology; nothing is written twice."""

import re

import pytest

from deploy.logins import definitions, steps
from deploy.supervisor.planned import credentials
from shared.events import EVENTS
from shared.settings import Settings
from shared.topology import LOGINS, MADE_BY, QUEUES, SENT_BY, SENT_BY_KEY, rights_of

URLS = {f"{service}_amqp_url": f"amqp://tripthread_{service}:secret-{service}@broker/" for service in LOGINS}


def settings(**changes: str) -> Settings:
    return Settings(_env_file=None, **(URLS | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("service", LOGINS)
def test_a_service_may_say_what_it_says_and_no_more(service: str) -> None:
    may_say = {event for event in EVENTS if re.search(rights_of(service).events_written, event.routing_key())}
    assert may_say == {event for event in EVENTS if service in SENT_BY[event]}
    by_key = {key for key in SENT_BY_KEY if re.search(rights_of(service).events_written, key)}
    assert by_key == {key for key, senders in SENT_BY_KEY.items() if service in senders}


@pytest.mark.parametrize("service", [login for login in LOGINS if login != MADE_BY])
def test_a_consumer_may_read_its_queues_and_no_more(service: str) -> None:
    may_read = {queue.name for queue in QUEUES if re.search(rights_of(service).read, queue.name)}
    assert may_read == {queue.name for queue in QUEUES if queue.reader == service}
    assert rights_of(service).configure == "^$"


@pytest.mark.parametrize("service", LOGINS)
@pytest.mark.parametrize("name", ["amq.default", "amq.topic", "amq.gen-x", "", "logger.chat2", "xevents"])
def test_nobody_may_anything_with_what_is_not_ours(service: str, name: str) -> None:
    rights = rights_of(service)
    for pattern in (rights.configure, rights.write, rights.read):
        assert not name or re.search(pattern, name) is None


def test_every_reader_has_a_login_and_the_supervisor_knows_them_all() -> None:
    assert {queue.reader for queue in QUEUES} | {MADE_BY} == set(LOGINS)
    assert credentials.LOGINS == LOGINS


def test_no_password_is_in_the_definitions() -> None:
    described = definitions(settings())
    assert {user["name"] for user in described["users"]} == {f"tripthread_{service}" for service in LOGINS}
    assert "secret-" not in str(described)


def test_a_virtual_host_is_taken_from_the_url() -> None:
    urls = {name: f"{url}fleet%2Feu" for name, url in URLS.items()}
    described = definitions(settings(**urls))
    assert {entry["vhost"] for entry in described["permissions"] + described["topic_permissions"]} == {"fleet/eu"}


@pytest.mark.parametrize("wrong", ["", "amqp://tripthread_gateway:pw@broker/", "amqp://tripthread_logger@broker/"])
def test_a_url_that_is_not_the_service_s_login_is_named(wrong: str) -> None:
    with pytest.raises(ValueError, match="LOGGER_AMQP_URL"):
        definitions(settings(logger_amqp_url=wrong))


def test_the_steps_are_those_of_every_login() -> None:
    lines = steps("fleet")
    for service in LOGINS:
        assert f"rabbitmqctl add_user tripthread_{service}" in lines
        assert sum(f" -p fleet tripthread_{service} " in line for line in lines) == 2


def test_a_service_uses_its_own_login_where_there_is_one() -> None:
    assert settings().as_service("logger").amqp_url == URLS["logger_amqp_url"]
    admin = settings(logger_amqp_url="", amqp_url="amqp://admin:x@broker/")
    assert admin.as_service("logger").amqp_url == "amqp://admin:x@broker/"
