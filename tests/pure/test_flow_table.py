"""The flow tables cannot lie: they are held against the topology, and the topology against the services."""

import re
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from shared import events, topology

ROOT = Path(__file__).parents[2]
WIRED = {event.__name__: {queue.name for queue in topology.QUEUES if event in queue.hears} for event in events.EVENTS}


def table(file: str, heard_by: int) -> dict[str, set[str]]:
    """Read the rows that begin with an event: its name, and the queues in column `heard_by`."""
    rows = re.findall(r"^\| `([A-Z]\w+)` \|(.*)\|$", (ROOT / file).read_text(), flags=re.MULTILINE)
    return {name: set(re.findall(r"`([a-z.]+)`", rest.split("|")[heard_by])) for name, rest in rows}


@pytest.mark.parametrize(("file", "heard_by"), [("README.md", 0), ("ARCHITECTURE.md", 1)])
def test_the_flow_table_says_which_queues_hear_which_event(file: str, heard_by: int) -> None:
    assert table(file, heard_by) == WIRED


def test_every_event_is_heard_and_every_event_heard_can_be_decoded() -> None:
    heard = {event for queue in topology.QUEUES for event in queue.hears}
    assert heard == set(events.EVENTS), "EVENTS at the end of shared/events.py is what decode knows"


@pytest.mark.parametrize("queue", [queue for queue in topology.QUEUES if queue.hears], ids=lambda queue: queue.name)
def test_a_service_s_handlers_know_every_event_of_its_queues(queue: topology.Queue) -> None:
    handlers = import_module(f"services.{queue.name.partition('.')[0]}.handlers")
    known = tuple(value for value in vars(handlers).values() if isinstance(value, type) and value is not events.Event)
    assert [event.__name__ for event in queue.hears if not issubclass(event, known)] == []


@pytest.mark.parametrize("service", ["gateway", "logger", "tagger", "workflow"])
def test_a_service_begins_with_its_line_of_the_flow(service: str) -> None:
    line = import_module(f"services.{service}").__doc__ or ""
    assert re.fullmatch(r"[^\n]+ -> [^\n]+", line)


def test_routing_keys_come_from_the_classes() -> None:
    assert events.MessagePosted.routing_key() == "message.posted"
    assert len({event.routing_key() for event in events.EVENTS}) == len(events.EVENTS)


def test_releases_whose_queues_hear_other_events_are_told_apart() -> None:
    (first, *others) = topology.QUEUES
    hears_less = replace(first, hears=first.hears[1:])
    reordered = replace(first, hears=tuple(reversed(first.hears)))
    assert topology.knowledge([hears_less, *others]) != topology.knowledge() == topology.knowledge([*others, reordered])
