"""Sign a browser in by a one-time link, and out again."""

from typing import Annotated, Any
from urllib.parse import parse_qs

import structlog
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from services.gateway.account.identity import AdminDep, address_of, login_cookies_of
from services.gateway.account.limits.throttle import Throttle
from services.gateway.account.logins.links import PATH, read_login
from services.gateway.account.logins.logins import Logins, login_cookie
from services.gateway.account.logins.page import button_page, done_page
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.callers.origin import from_own_page
from services.gateway.http.edge.middleware import add_header
from services.gateway.http.handed import from_app
from services.gateway.http.requests.fields import Name
from services.gateway.http.requests.refused_field import refused_field
from services.gateway.http.requests.user_route import UserRoute
from shared.errors import Forbidden, Gone, UnsupportedMedia
from shared.settings import Settings

FORM = "application/x-www-form-urlencoded"
LONGEST_TOKEN = 2048
USED = "This link was used already, or is not good any more: ask for another one."
_PAGE: dict[int | str, dict[str, Any]] = {200: {"description": "A page", "content": {"text/html": {}}}}
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            FORM: {
                "schema": {
                    "type": "object",
                    "properties": {"token": {"type": "string", "maxLength": LONGEST_TOKEN}},
                    "required": ["token"],
                }
            }
        },
    }
}

router = APIRouter(tags=["account"], route_class=UserRoute)
log = structlog.get_logger(__name__)

LoginsDep = Annotated[Logins, from_app(Logins)]
SettingsDep = Annotated[Settings, from_app(Settings)]
ThrottleDep = Annotated[Throttle, from_app(Throttle)]


class Ended(BaseModel):
    ended: int  # browsers that were signed in


@router.get(PATH, response_class=Response, responses={**_PAGE, **problem_responses(410, 422, 429)})
async def show_login(
    settings: SettingsDep,
    throttle: ThrottleDep,
    request: Request,
    token: Annotated[str, Query(max_length=LONGEST_TOKEN)],
) -> Response:
    """Show a button that signs this browser in. To open a link uses nothing up: programs open what comes by mail."""
    await throttle.count_call(address_of(request))
    return button_page(read_login(token, settings).user_id, token)


@router.post(
    PATH,
    response_class=Response,
    responses={**_PAGE, **problem_responses(400, 403, 410, 413, 415, 422, 429, 503)},
    openapi_extra=_FORM,
)
async def sign_in(settings: SettingsDep, throttle: ThrottleDep, logins: LoginsDep, request: Request) -> Response:
    """Use a link up, and sign this browser in by a cookie: for 12 hours, and 12 more when it is used."""
    _refuse_other_pages(request)
    await throttle.count_call(address_of(request))
    link = read_login(await _token_in(request), settings)
    value = await logins.open(link)
    if value is None:
        raise Gone(USED)
    await logins.end(login_cookies_of(request))  # who signs in anew leaves nothing open by an older cookie
    log.info("browser signed in", role=link.role)
    add_header(request.scope, login_cookie(value, settings))
    return done_page(link.user_id)


@router.post("/api/auth/logout", status_code=204, responses=problem_responses(403, 429, 503))
async def sign_out(settings: SettingsDep, throttle: ThrottleDep, logins: LoginsDep, request: Request) -> None:
    """Sign this browser out, everywhere within a second; whoever was not signed in is not either."""
    _refuse_other_pages(request)
    await throttle.count_call(address_of(request))
    await logins.end(login_cookies_of(request))
    add_header(request.scope, login_cookie("", settings))


@router.post("/api/admin/users/{user_id}/logout", responses=problem_responses(401, 403, 422, 429, 503))
async def sign_user_out(logins: LoginsDep, admin: AdminDep, user_id: Name) -> Ended:
    """Sign every browser of a user out, everywhere within a second."""
    ended = await logins.store.end_all(user_id)
    log.info("browsers signed out by an administrator", operator=admin.user_id, ended=ended)
    return Ended(ended=ended)


def _refuse_other_pages(request: Request) -> None:
    """Let no page of another origin sign anybody in or out.

    Raises:
        Forbidden: Such a page has sent this.
    """
    if from_own_page(request.headers) is False:
        raise Forbidden("A page of another origin may not sign anybody in or out here.")


async def _token_in(request: Request) -> str:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise UnsupportedMedia(f"Send the token as {FORM}.")
    try:
        sent = parse_qs((await request.body()).decode("ascii"), max_num_fields=10).get("token", [])
    except ValueError:
        sent = []
    if len(sent) != 1 or len(sent[0]) > LONGEST_TOKEN:
        raise refused_field("token", "must be there, once")
    return sent[0]
