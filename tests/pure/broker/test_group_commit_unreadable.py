"""Properties that pamqp cannot decode are taken off; readable ones stay as they are."""

import struct
from datetime import UTC, datetime

import pytest
from aiormq import spec
from pamqp import frame
from pamqp.header import ContentHeader

from shared.consuming.unreadable import UNREADABLE, readable_frame

CHANNEL = 3
BODY_SIZE = 1234


def header_frame(properties: spec.Basic.Properties) -> bytes:
    return frame.marshal(ContentHeader(body_size=BODY_SIZE, properties=properties), CHANNEL)


def test_readable_properties_stay_as_they_are() -> None:
    whole = header_frame(spec.Basic.Properties(message_type="MessagePosted", headers={"traceparent": "00-1-2-01"}))

    assert readable_frame(whole, CHANNEL) is whole


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (spec.Basic.Properties(message_type="type"), (b"\x04type", b"\x04\xff\xfepe")),
        (spec.Basic.Properties(message_id="some"), (b"\x04some", b"\x04\xff\xfeme")),
        (spec.Basic.Properties(headers={"key": "x"}), (b"\x03key", b"\x03\xff\xfey")),
        (spec.Basic.Properties(headers={"key": "x"}), (b"S\x00\x00\x00\x01x", b"?\x00\x00\x00\x01x")),
    ],
    ids=["type", "message id", "header name", "header of no known kind"],
)
def test_unreadable_properties_are_taken_off(good: spec.Basic.Properties, bad: tuple[bytes, bytes]) -> None:
    whole = header_frame(good).replace(*bad)

    _, channel, header = frame.unmarshal(readable_frame(whole, CHANNEL))

    assert isinstance(header, ContentHeader)
    assert (channel, header.body_size) == (CHANNEL, BODY_SIZE)
    assert list(header.properties.headers or {}) == [UNREADABLE]
    assert header.properties.message_type is None


def test_a_delivery_by_an_unreadable_route_is_delivered() -> None:
    deliver = spec.Basic.Deliver("our consumer", 2**62 + 255, True, "exchange", "routing key")
    whole = frame.marshal(deliver, CHANNEL).replace(b"exchange", b"\xffxchange").replace(b"routing key", b"\xc3" * 11)

    _, channel, readable = frame.unmarshal(readable_frame(whole, CHANNEL))

    assert isinstance(readable, spec.Basic.Deliver)
    assert (channel, readable.consumer_tag, readable.delivery_tag) == (CHANNEL, "our consumer", 2**62 + 255)
    assert (readable.redelivered, readable.exchange, readable.routing_key) == (True, "?xchange", "?" * 11)


def test_a_timestamp_beyond_the_year_9999_is_taken_off() -> None:
    whole = header_frame(spec.Basic.Properties(timestamp=datetime(2026, 1, 1, tzinfo=UTC)))
    far_future = whole[:-9] + struct.pack(">Q", 2**63) + whole[-1:]  # it is the only property, and an end byte follows

    _, _, header = frame.unmarshal(readable_frame(far_future, CHANNEL))

    assert isinstance(header, ContentHeader)
    assert "out of range" in str((header.properties.headers or {})[UNREADABLE])
