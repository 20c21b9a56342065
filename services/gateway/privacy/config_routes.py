"""What a frontend must know, and the page on privacy: for everybody, and as long as the process lives the same."""

from dataclasses import dataclass
from typing import Annotated, Self

from fastapi import APIRouter, Response

from services.gateway.http.handed import from_app
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.model.configured.catalog import Catalog
from services.gateway.models.allowed import AllowedModels
from services.gateway.privacy.config import Config, providers_of
from services.gateway.privacy.notice import privacy_text
from services.gateway.privacy.page import PATH, POLICY, privacy_page
from shared.settings import Settings

FOR_A_MINUTE = "public, max-age=60"  # after a start with other settings it is another one

router = APIRouter(tags=["account"], route_class=StrictRoute)


@dataclass(frozen=True)
class Frontend:
    """What these routes answer."""

    config: Config
    privacy_page: bytes

    @classmethod
    def of(cls, settings: Settings, catalog: Catalog, allowed: AllowedModels) -> Self:
        """Prepare the answers.

        Raises:
            InvalidPrivacyFile: The text cannot be read.
        """
        text = privacy_text(settings, providers_of(catalog))
        return cls(Config.of(settings, catalog, allowed, text), privacy_page(text))


FrontendDep = Annotated[Frontend, from_app(Frontend)]


@router.get("/api/config")
async def get_config(frontend: FrontendDep, response: Response) -> Config:
    """Say what a frontend must know before anybody has signed in; to everybody, and nobody becomes a visitor by it."""
    response.headers["Cache-Control"] = FOR_A_MINUTE
    return frontend.config


@router.get(PATH, include_in_schema=False)
async def show_privacy(frontend: FrontendDep) -> Response:
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": FOR_A_MINUTE}
    return Response(frontend.privacy_page, media_type="text/html", headers=headers)
