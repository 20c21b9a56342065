"""What a frontend must know before anybody has signed in. It is the same for everybody, and nothing of it is secret."""

from collections.abc import Iterable, Iterator
from typing import Self
from uuid import UUID

from pydantic import BaseModel

from services.gateway.account.limits.quota import KINDS, Quota, quota_of_addresses, quota_of_users
from services.gateway.model.configured.catalog import Catalog
from services.gateway.models.allowed import AllowedModels
from services.gateway.privacy.page import PATH
from shared.ids import model_id
from shared.settings import Settings


class VisitorLimits(BaseModel):
    """How much all visitors of one address may do together; null: as much as they like."""

    turns_per_minute: int  # on one replica
    turns_per_day: int | None  # of UTC, as all days here
    tokens_per_day: int | None
    sessions_per_day: int | None


class VisitorMode(BaseModel):
    """What somebody may do who shows no credentials."""

    allowed: bool  # may they chat?
    trips: bool  # may they order and attach trips?
    default_model: str  # answers them where they name none
    limits: VisitorLimits


class IdentityProvider(BaseModel):
    """Who signs users in."""

    name: str | None  # for the button
    login_url: str | None  # where the button leads
    issuer: str | None  # what `iss` of its tokens is


class Limits(VisitorLimits):
    """What holds for a user of whom no administrator has said anything else."""

    sessions_in_all: int | None
    turns_at_once: int
    calls_per_minute: int
    messages_per_minute: int  # that a client stores itself
    message_characters: int | None  # of one message; null: as the body has room for
    body_bytes: int  # of a request


class Privacy(BaseModel):
    url: str  # a page with the text
    text: str  # paragraphs with an empty line between; those that begin with `#` are headings


class OfferedModel(BaseModel):
    """A configured model that users may ask for."""

    id: UUID
    name: str
    provider: str
    aliases: list[str]
    visitors: bool  # may visitors, too?


class Config(BaseModel):
    visitors: VisitorMode
    identity_provider: IdentityProvider | None  # null: tokens come from whoever runs this
    limits: Limits
    privacy: Privacy
    default_model: str
    models: list[OfferedModel]

    @classmethod
    def of(cls, settings: Settings, catalog: Catalog, allowed: AllowedModels, privacy_text: str) -> Self:
        """Say what this gateway is configured to."""
        return cls(
            visitors=_visitors(settings, allowed),
            identity_provider=_identity_provider(settings),
            limits=_limits(settings),
            privacy=Privacy(url=PATH, text=privacy_text),
            default_model=allowed.usual(to_visitors=False),
            models=list(_models(catalog, allowed)),
        )


def providers_of(catalog: Catalog) -> Iterable[str]:
    """Return whose models may answer here."""
    return {model.provider for model in catalog.models} | {upstream.provider for upstream in catalog.upstreams}


def _models(catalog: Catalog, allowed: AllowedModels) -> Iterator[OfferedModel]:
    for model in catalog.models:
        if allowed.offers(model.name, to_visitors=False):
            yield OfferedModel(
                id=model_id(model.provider, model.name),
                name=model.name,
                provider=model.provider,
                aliases=list(model.aliases),
                visitors=allowed.offers(model.name, to_visitors=True),
            )


def _visitors(settings: Settings, allowed: AllowedModels) -> VisitorMode:
    return VisitorMode(
        allowed=settings.visitors_allowed,
        trips=settings.visitors_allowed and settings.visitor_trips,
        default_model=allowed.usual(to_visitors=True),
        limits=VisitorLimits(
            turns_per_minute=settings.visitor_turns_per_minute,
            **_daily(quota_of_addresses(settings), "turns_per_day", "tokens_per_day", "sessions_per_day"),
        ),
    )


def _limits(settings: Settings) -> Limits:
    return Limits(
        turns_per_minute=settings.turns_per_minute,
        turns_at_once=settings.turns_at_once,
        calls_per_minute=settings.calls_per_minute,
        messages_per_minute=settings.messages_per_minute,
        message_characters=settings.max_message_characters,
        body_bytes=settings.max_body_bytes,
        **_daily(quota_of_users(settings), *KINDS),
    )


def _daily(quota: Quota, *kinds: str) -> dict[str, int | None]:
    return {kind: getattr(quota, kind) for kind in kinds}


def _identity_provider(settings: Settings) -> IdentityProvider | None:
    name, login_url, issuer = settings.login_name, settings.login_url, settings.jwt_issuer
    if not (login_url or settings.jwt_jwks_url):
        return None
    return IdentityProvider(name=name or None, login_url=login_url or None, issuer=issuer or None)
