"""Everything that the gateway reads of the other services' tables, by one role."""

from services.gateway.reading.dead_letters import DeadLetters
from services.gateway.reading.messages import Messages
from services.gateway.reading.models import Models
from services.gateway.reading.sessions import Sessions
from services.gateway.reading.tags import Tags
from services.gateway.reading.trips import Trips
from shared.database import Pool


class Reader:
    def __init__(self, pool: Pool) -> None:
        self.sessions = Sessions(pool)
        self.messages = Messages(pool)
        self.tags = Tags(pool)
        self.trips = Trips(pool)
        self.models = Models(pool)
        self.dead_letters = DeadLetters(pool)
