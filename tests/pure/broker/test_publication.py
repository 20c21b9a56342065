"""A publication is spelled byte for byte as pamqp spells it."""

from typing import Any

import pamqp.frame
import pytest
from aiormq import spec
from hypothesis import given
from hypothesis import strategies as st
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from shared.publishing.publication import PERSISTENT, Publication

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=63)  # 252 bytes at most
FRAME_MAX = 64


def by_pamqp(publication: Publication, channel: int, *, mandatory: bool) -> bytes:
    properties = spec.Basic.Properties(
        content_type=publication.content_type,
        headers=dict(publication.headers) or None,
        delivery_mode=PERSISTENT if publication.is_persistent else None,
        correlation_id=publication.correlation_id,
        message_id=publication.message_id,
        message_type=publication.type,
    )
    body, room = publication.body, FRAME_MAX - 8
    frames: list[Any] = [
        spec.Basic.Publish(exchange=publication.exchange, routing_key=publication.key, mandatory=mandatory),
        ContentHeader(body_size=len(body), properties=properties),
        *(ContentBody(body[at : at + room]) for at in range(0, len(body), room)),
    ]
    return b"".join(pamqp.frame.marshal(frame, channel) for frame in frames)


@given(
    st.builds(
        Publication,
        exchange=st.sampled_from(["events", "a-name.of:one_23"]),  # pamqp refuses other exchanges
        key=names,
        body=st.binary(max_size=3 * FRAME_MAX),
        headers=st.dictionaries(st.text("abcxyz-", min_size=1, max_size=20), st.text(max_size=300), max_size=4),
        content_type=st.none() | names,
        is_persistent=st.booleans(),
        correlation_id=st.none() | names,
        message_id=st.none() | names,
        type=st.none() | names,
    ),
    st.integers(1, 65535),
    st.booleans(),
)
def test_publication_is_spelled_as_pamqp_spells_it(publication: Publication, channel: int, mandatory: bool) -> None:
    spelled = publication.frames(channel, FRAME_MAX, mandatory=mandatory)

    assert spelled == by_pamqp(publication, channel, mandatory=mandatory)


@pytest.mark.parametrize("length", [FRAME_MAX - 9, FRAME_MAX - 8, FRAME_MAX - 7, 2 * (FRAME_MAX - 8)])
def test_no_frame_is_larger_than_the_broker_takes(length: int) -> None:
    publication = Publication("events", "", b"x" * length, headers={})

    rest = publication.frames(1, FRAME_MAX, mandatory=True)

    while rest:
        size, _, _ = pamqp.frame.unmarshal(rest)
        assert size <= FRAME_MAX
        rest = rest[size:]


LONG = "x" * 256


@pytest.mark.parametrize(
    "publication",
    [
        Publication("events", LONG, b"", headers={}),
        Publication("events", "", b"", headers={}, message_id=LONG),
        Publication("events", "", b"", headers={}, type=LONG),
    ],
)
def test_name_that_is_too_long_is_refused(publication: Publication) -> None:
    with pytest.raises(ValueError, match="range"):
        publication.frames(1, FRAME_MAX, mandatory=True)
