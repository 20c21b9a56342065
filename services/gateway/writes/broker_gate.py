"""Refuse at once what needs a broker that is known to be away, instead of letting its sender wait for nothing."""

from shared.errors import BrokerAway
from shared.publishing.publisher import Publisher


def require_broker(publisher: Publisher) -> None:
    """Return where something can be published now.

    Raises:
        BrokerAway: It is disconnected, or has an alarm.
    """
    if publisher.away is not None:
        raise BrokerAway(f"the message broker is away: {publisher.away}")
