"""Two gateways with a logger beside them, as those of the sessions."""

from tests.connected.gateway.sessions.conftest import gateways, session

__all__ = ["gateways", "session"]
