"""The gateway's parts kept in dictionaries, and an HTTP client for the API on them; wired as those of the gateway."""

from tests.service.gateway.fakes.world import BASE_URL, World

__all__ = ["BASE_URL", "World"]
