"""Who calls, and what is kept of people."""

from functools import partial

from services.gateway.account.authenticator import Authenticator
from services.gateway.account.keys.api_keys import ApiKeys
from services.gateway.account.keys.routes import Keys
from services.gateway.account.keys.store import KeyStore
from services.gateway.account.logins.logins import Logins
from services.gateway.account.logins.store import LoginStore
from services.gateway.account.standing import StandingCredentials
from services.gateway.account.tokens.verifier import TokenVerifier
from services.gateway.account.visitors.store import LinkStore
from services.gateway.deletion.routes import Erasing
from services.gateway.deletion.state import ErasureStates
from services.gateway.privacy.config_routes import Frontend
from services.gateway.privacy.export import Exporting, ExportPlaces
from services.gateway.privacy.pages import read_page
from services.gateway.wiring.parts import Parts


def account(parts: Parts) -> tuple[object, ...]:
    pools = parts.pools
    keys, browsers = KeyStore(pools.own), LoginStore(pools.own)
    logins = Logins(browsers, StandingCredentials(browsers), parts.throttle)
    api_keys = ApiKeys(StandingCredentials(keys), parts.throttle)
    return (
        Authenticator(parts.settings, TokenVerifier(parts.settings), api_keys, logins, parts.linked),
        logins,
        Keys(keys),
        parts.throttle,
        parts.refusals,
        Erasing(parts.deleting, ErasureStates(pools.own, parts.noted)),
        Exporting(
            partial(read_page, pools.reader),
            LinkStore(pools.own),
            ExportPlaces(parts.settings.exports_at_once),
            parts.lanes,
            parts.room,
        ),
        Frontend.of(parts.settings, parts.catalog, parts.allowed),
    )
