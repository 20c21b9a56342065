"""What the logger says of a group that it has stored."""

from services.logger.handlers import _stored
from tests.pure.logger.samples import answered, changed, opened, posted


def test_what_was_said_and_set_of_a_session_is_told_in_words() -> None:
    said, set_, begun = posted(session_id="said"), changed(5, session_id="set", title="mine", pinned=True), opened(1)
    both = [posted(session_id="both"), changed(5, session_id="both", folder="clients")]
    told = {outcome.session_id: outcome for outcome in _stored([said, set_, begun, *both])}
    assert told["said"].changed == ("messages",)
    assert set(told["set"].changed) == {"title", "pinned"}
    assert told[begun.session_id].changed == ("created",)
    assert told["both"].changed == ("messages", "folder")
    assert told["both"].causes == tuple(event.event_id for event in both)


def test_a_session_is_told_once_a_group() -> None:
    events = [posted(), answered(), changed(5, folder="a"), changed(6, folder="b", pinned=True)]
    [outcome] = _stored(events)
    assert outcome.causes == tuple(event.event_id for event in events)
    assert sorted(outcome.changed) == ["folder", "messages", "pinned"]
