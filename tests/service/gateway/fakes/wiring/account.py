"""Who calls, and what is kept of people."""

from typing import cast

from services.gateway.account.authenticator import Authenticator
from services.gateway.account.keys.api_keys import ApiKeys
from services.gateway.account.keys.routes import Keys
from services.gateway.account.keys.store import KeyStore
from services.gateway.account.logins.logins import Logins
from services.gateway.account.logins.store import LoginStore
from services.gateway.account.standing import StandingCredentials
from services.gateway.account.tokens.verifier import TokenVerifier
from services.gateway.deletion.routes import Erasing
from services.gateway.deletion.state import ErasureStates
from services.gateway.privacy.config_routes import Frontend
from services.gateway.privacy.export import Exporting
from tests.service.gateway.fakes.account import FakeKeyStore, FakeLoginStore
from tests.service.gateway.fakes.deletion import FakeErasureStates
from tests.service.gateway.fakes.wiring.parts import Parts


def account(parts: Parts) -> tuple[object, ...]:
    world = parts.world
    keys, browsers = cast(KeyStore, FakeKeyStore(world)), cast(LoginStore, FakeLoginStore(world))
    logins = Logins(browsers, StandingCredentials(browsers), parts.throttle)
    api_keys = ApiKeys(StandingCredentials(keys), parts.throttle)
    return (
        Authenticator(parts.settings, TokenVerifier(parts.settings), api_keys, logins, parts.linked),
        logins,
        Keys(keys),
        parts.throttle,
        world.refusals,
        Erasing(parts.deleting, cast(ErasureStates, FakeErasureStates(world))),
        Exporting(world.read_kept, parts.links, world.export_places, parts.lanes, parts.room),
        Frontend.of(parts.settings, parts.catalog, parts.allowed),
    )
