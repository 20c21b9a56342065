"""The flow tables cannot lie: they are held against the topology, and the topology against the services.

So is the document of the events, which the gateway serves.
"""

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from services.gateway.http.documents.event_document import event_document
from shared import events, topology

ROOT = Path(__file__).parents[2]
SERVICES = ("gateway", "logger", "tagger", "workflow")
SENDERS = {event.__name__: set(services) for event, services in topology.SENT_BY.items()}
DOCUMENT = json.loads(event_document().to_json())
WIRED = {event.__name__: {queue.name for queue in topology.QUEUES if event in queue.hears} for event in events.EVENTS}


def table(file: str, column: int) -> dict[str, set[str]]:
    """Read the rows that begin with an event: its name, and the names in a column, quoted or not."""
    rows = re.findall(r"^\| `([A-Z]\w+)` \|(.*)\|$", (ROOT / file).read_text(), flags=re.MULTILINE)
    return {name: set(re.findall(r"[a-z.]+", rest.split("|")[column])) for name, rest in rows}


@pytest.mark.parametrize(("file", "heard_by"), [("README.md", 0), ("ARCHITECTURE.md", 2)])
def test_the_flow_table_says_which_queues_hear_which_event(file: str, heard_by: int) -> None:
    assert table(file, heard_by) == WIRED


def test_the_flow_table_says_who_sends_which_event() -> None:
    assert table("ARCHITECTURE.md", 0) == {event.__name__: SENDERS[event.__name__] for event in events.EVENTS}


def test_the_document_says_who_sends_and_who_receives_what_on_which_queue() -> None:
    sent = {name for name, operation in DOCUMENT["operations"].items() if operation["action"] == "send"}
    received = {
        name: (
            DOCUMENT["channels"][name].get("address"),
            DOCUMENT["channels"][name]["bindings"]["amqp"]["queue"]["name"],
        )
        for name, operation in DOCUMENT["operations"].items()
        if operation["action"] == "receive"
    }
    assert sent == {f"{name}.{sender}" for name, senders in SENDERS.items() for sender in senders}
    heard = {
        f"{event.__name__}.{queue.name}": (event.routing_key(), queue.name)
        for queue in topology.QUEUES
        for event in queue.hears
    }
    assert received == heard | {"outcomes.gateway": (None, "outcomes.{instance}")}


def test_the_document_is_that_of_the_flow_table() -> None:
    """Without the topology in between, which both could follow into the same mistake."""
    said = {name for name in DOCUMENT["operations"] if name.partition(".")[0] in WIRED}
    queues = {f"{name}.{queue}" for name, heard_by in table("ARCHITECTURE.md", 2).items() for queue in heard_by}
    senders = {f"{name}.{sender}" for name, sent_by in table("ARCHITECTURE.md", 0).items() for sender in sent_by}
    assert said == queues | senders


def test_every_event_in_the_document_has_the_body_that_its_class_has() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for event in events.EVENTS:
        assert set(schemas[event.__name__]["properties"]) == set(event.model_fields)


def test_whoever_makes_an_event_is_said_to_send_it() -> None:
    made = {service: set(called_in(ROOT / "services" / service)) & SENDERS.keys() for service in SERVICES}
    made["logger"].remove("DeadLetterReplayed")  # it writes down what it has sent back by itself, and tells nobody
    for service in SERVICES:  # each has a consumer but the gateway, and every consumer introduces itself
        made[service] |= {"ConsumerStarted"} if any(queue.reader == service for queue in topology.QUEUES) else set()
    said = {service: {name for name, senders in SENDERS.items() if service in senders} for service in SERVICES}
    assert made == said
    commands = {event for file in ("dead.py", "trips.py") for event in called_in(ROOT / "deploy", file)}
    assert commands & SENDERS.keys() == {name for name, senders in SENDERS.items() if "tripthread" in senders}


def called_in(directory: Path, files: str = "*.py") -> Iterator[str]:
    """Return what the code calls by a plain name, such as a class to make one of."""
    for path in directory.rglob(files):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                yield node.func.id


def test_every_event_is_heard_and_every_event_heard_can_be_decoded() -> None:
    heard = {event for queue in topology.QUEUES for event in queue.hears}
    assert heard == set(events.EVENTS), "EVENTS at the end of shared/events.py is what decode knows"


@pytest.mark.parametrize("queue", [queue for queue in topology.QUEUES if queue.hears], ids=lambda queue: queue.name)
def test_a_service_s_handlers_know_every_event_of_its_queues(queue: topology.Queue) -> None:
    handlers = import_module(f"services.{queue.name.partition('.')[0]}.handlers")
    known = tuple(value for value in vars(handlers).values() if isinstance(value, type) and value is not events.Event)
    assert [event.__name__ for event in queue.hears if not issubclass(event, known)] == []


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_begins_with_its_line_of_the_flow(service: str) -> None:
    line = import_module(f"services.{service}").__doc__ or ""
    assert re.fullmatch(r"[^\n]+ -> [^\n]+", line)


def test_routing_keys_come_from_the_classes() -> None:
    assert events.MessagePosted.routing_key() == "message.posted"
    assert len({event.routing_key() for event in events.EVENTS}) == len(events.EVENTS)
    assert f"{events.MessagePosted.routing_key()}.tagged" == topology.QUESTION_OF_TAGGED
    assert topology.SENT_BY_KEY.keys() == {key for queue in topology.QUEUES for key in queue.hears_by}


def test_releases_whose_queues_hear_other_events_are_told_apart() -> None:
    (first, *others) = topology.QUEUES
    hears_less = replace(first, hears=first.hears[1:])
    reordered = replace(first, hears=tuple(reversed(first.hears)))
    assert topology.knowledge([hears_less, *others]) != topology.knowledge() == topology.knowledge([*others, reordered])
