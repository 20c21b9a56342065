"""Who may what: of every route, what each caller gets who tries it on what is ann's. A new route takes a row here.

A cell is the status, and `!` where the answer shows something of ann's. The order is the one in which each caller tries
them, with ann, who comes last, deleting last, and root erasing her after that; so what begins a session by the id of
ann's stands behind what must not find one. What a route is sent stands in `everything_of_ann.py`.

| caller | is |
|---|---|
| none | nobody: without credentials, at a gateway where that makes a visitor |
| vic | a visitor, by their token |
| bob | a user |
| cat | a user whose token is limited to the project `p1`, as ann calls hers |
| sam | a program: an API key of the role `service`, and of another user |
| key | an API key of ann's own, which is limited to a project in which she has nothing |
| ada | an administrator whose token is limited to the project `p1` |
| root | an administrator, who is somebody else on every route that is not for them |
| ann | whose all of it is |
"""

from collections.abc import Mapping
from typing import NamedTuple

CALLERS = ("none", "vic", "bob", "cat", "sam", "key", "ada", "root", "ann")


class Cell(NamedTuple):
    """What one caller gets of one route."""

    status: int
    shows_hers: bool = False

    def __str__(self) -> str:
        return f"{self.status}{'!' if self.shows_hers else ''}"


Route = tuple[str, str]  # a method, and a path as the document of the API has it

_TABLE = """
route                                                               none vic  bob  cat  sam  key  ada  root ann

# Read
GET /api/chat/{session_id}/stream                                   404  404  404  404  404  404  404  404  200!
GET /api/chat/sessions                                              200  200  200  200  200  200  200  200  200!
GET /api/chat/sessions/{session_id}                                 404  404  404  404  404  404  404  404  200!
GET /api/chat/sessions/{session_id}/tag                             404  404  404  404  404  404  404  404  200
GET /api/chat/folders                                               200  200  200  200  200  200  200  200  200!
GET /api/chat/sessions/{session_id}/messages                        404  404  404  404  404  404  404  404  200!
GET /api/chat/sessions/{session_id}/export                          404  404  404  404  404  404  404  404  200!
GET /api/chat/sessions/{session_id}/shares                          404  404  404  404  404  404  404  404  200!
GET /api/shared/{token}                                             200! 200! 200! 200! 200! 200! 200! 200! 200!
GET /api/chat/shared/{share_id}                                     404  404  404  404  404  404  404  404  404
GET /api/chat/sessions/{session_id}/stats                           404  404  404  404  404  404  404  404  200
GET /api/chat/templates                                             200  200  200  200  200  200  200  200  200!
GET /api/sessions                                                   200  200  200  200  200  200  200  200  200!
GET /api/sessions/{session_id}/messages                             404  404  404  404  404  404  404  404  200!
GET /api/me/data                                                    401  200  200  200  200  200  200  200  200
GET /api/me/export                                                  401  200  200  403  200  403  403  200  200!
GET /api/trips/stats                                                401  200  200  200  200  200  200  200  200
GET /api/trips                                                      401  200  200  200  200  200  200  200  200!
GET /api/trips/{trip_id}                                            401  404  404  404  404  404  404  404  200!
GET /api/proposals/{proposal_id}                                    401  404  404  404  404  404  404  404  200!
GET /api/models                                                     401  200  200  200  200  200  200  200  200
GET /v1/models                                                      401  200  200  200  200  200  200  200  200
GET /v1/models/{model}                                              401  200  200  200  200  200  200  200  200
GET /v1/responses/{response_id}                                     401  404  404  404  404  404  404  404  200!
GET /v1/responses/{response_id}/input_items                         401  404  404  404  404  404  404  404  200!
GET /api/analytics/models                                           401  200  200  200  200  200  200  200  200
GET /api/analytics/traces                                           401  200  200  200  200  200  200  200! 200!
GET /api/analytics/traces/list                                      401  200  200  200  200  200  200  200! 200!
GET /api/analytics/traces/{trace_id}                                401  404  404  404  404  404  404  404  200!
GET /api/helpers                                                    200  200  200  200  200  200  200  200  200
GET /api/config                                                     200  200  200  200  200  200  200  200  200
GET /api/events                                                     401  200  200  200  200  200  200  200  200
GET /api/me                                                         401  200  200  200  200  200  200  200  200
GET /api/keys                                                       401  403  200  200  403  403  200  200  200!
GET /api/auth/login                                                 200  200  200  200  200  200  200  200  200
GET /healthz                                                        200  200  200  200  200  200  200  200  200
GET /readyz                                                         200  200  200  200  200  200  200  200  200

# Documents, and what is not there at the public address
GET /docs                                                           200  200  200  200  200  200  200  200  200
GET /docs/events                                                    200  200  200  200  200  200  200  200  200
GET /docs/events.json                                               200  200  200  200  200  200  200  200  200
GET /privacy                                                        200  200  200  200  200  200  200  200  200
GET /openapi.json                                                   200  200  200  200  200  200  200  200  200
GET /docs/start.js                                                  200  200  200  200  200  200  200  200  200
GET /docs/swagger-ui-bundle.js                                      200  200  200  200  200  200  200  200  200
GET /docs/swagger-ui.css                                            200  200  200  200  200  200  200  200  200
GET /metrics                                                        404  404  404  404  404  404  404  404  404
GET /turns/1/1/pieces                                               404  404  404  404  404  404  404  404  404
HEAD /healthz                                                       200  200  200  200  200  200  200  200  200
HEAD /readyz                                                        200  200  200  200  200  200  200  200  200
POST /turns/1/1/stop                                                404  404  404  404  404  404  404  404  404

# Administration
GET /api/admin/trips                                                401  403  403  403  403  403  403  200! 403
GET /api/admin/trips/stats                                          401  403  403  403  403  403  403  200  403
GET /api/admin/dead                                                 401  403  403  403  403  403  403  200! 403
GET /api/admin/dead/{dead_letter_id}                                401  403  403  403  403  403  403  200! 403
GET /api/admin/deliveries                                           401  403  403  403  403  403  403  200! 403
GET /api/admin/deliveries/{delivery_id}                             401  403  403  403  403  403  403  200! 403
GET /api/admin/sessions                                             401  403  403  403  403  403  403  200! 403
GET /api/admin/messages                                             401  403  403  403  403  403  403  200! 403
GET /api/admin/users                                                401  403  403  403  403  403  403  200  403
GET /api/admin/queues                                               401  403  403  403  403  403  403  200  403
POST /api/admin/users/{user_id}/erase                               401  403  403  403  403  403  403  202  403
GET /api/admin/reads                                                401  403  403  403  403  403  403  200  403
PATCH /api/admin/users/{user_id}                                    401  403  403  403  403  403  403  200  403
GET /api/admin/users/{user_id}/export                               401  403  403  403  403  403  403  200! 403
POST /api/admin/users/{user_id}/logout                              401  403  403  403  403  403  403  200  403
POST /api/admin/dead/{dead_letter_id}/replay                        401  403  403  403  403  403  403  202! 403
POST /api/admin/dead/{dead_letter_id}/drop                          401  403  403  403  403  403  403  202! 403
POST /api/admin/deliveries/{delivery_id}/reprocess                  401  403  403  403  403  403  403  202! 403
POST /api/models                                                    401  403  403  403  403  403  403  202  403
PATCH /api/models/{model_id}                                        401  403  403  403  403  403  403  200  403

# Change
POST /v1/responses/{response_id}/cancel                             401  404  404  404  404  404  404  404  200!
POST /api/chat/{session_id}/stop                                    404  404  404  404  404  404  404  404  200
POST /api/chat/{session_id}/approvals/{approval_id}                 404  404  404  404  404  404  404  404  409
PATCH /api/chat/sessions/{session_id}                               404  404  404  404  404  404  404  404  202!
POST /api/chat/sessions/bulk                                        200  200  200  200  200  200  200  200  202
POST /api/chat/sessions/{session_id}/end                            404  404  404  404  404  404  404  404  202!
POST /api/chat/sessions/{session_id}/messages/{message_id}/feedback 404  404  404  404  404  404  404  404  202
POST /api/chat/sessions/{session_id}/fork                           404  404  404  404  404  404  404  404  409
POST /api/chat/sessions/{session_id}/shares                         404  404  404  404  404  404  404  404  201!
POST /api/chat/templates                                            202  202  202  202  202  202  202  202  202
PATCH /api/chat/templates/{template_id}                             404  404  404  404  404  404  404  404  202!
POST /api/chat/sessions/{session_id}/trips                          401  403  404  404  404  404  404  404  409
PATCH /api/trips/{trip_id}                                          401  404  404  404  404  404  404  404  202!
POST /api/trips/{trip_id}/refresh                                   401  404  404  404  404  404  404  404  202!
POST /api/trips/{trip_id}/complete                                  401  404  404  404  404  404  404  404  202!
POST /api/trips/{trip_id}/cancel                                    401  404  404  404  404  404  404  404  202!
POST /api/trips/{trip_id}/proposals                                 401  403  404  404  404  404  404  404  202
PATCH /api/proposals/{proposal_id}                                  401  403  404  404  404  404  404  404  202
POST /api/proposals/{proposal_id}/send                              401  403  404  404  404  404  404  404  202!
POST /api/analytics/session-tags                                    401  403  202  403  202  403  403  202  202
POST /api/analytics/traces                                          401  202  202  422  202  422  422  202  422
POST /v1/traces                                                     401  200  200  200  200  200  200  200  200
POST /api/webhooks/avinode                                          401  401  401  401  401  401  401  401  401
POST /api/webhooks/avinode/{event}                                  401  401  401  401  401  401  401  401  401
POST /api/webhooks/{source}                                         401  401  401  401  401  401  401  401  401
POST /api/auth/visitor                                              201  200  200  200  200  200  200  200  200
POST /api/keys                                                      401  403  201  201  403  403  201  201  201
POST /api/auth/logout                                               204  204  204  204  204  204  204  204  204

# Delete
DELETE /api/chat/sessions/{session_id}/shares/{share_id}            404  404  404  404  404  404  404  404  200!
DELETE /api/chat/shared/{share_id}                                  404  404  404  404  404  404  404  404  404
DELETE /api/chat/templates/{template_id}                            404  404  404  404  404  404  404  404  202
DELETE /api/keys/{key_id}                                           401  403  404  404  403  403  404  404  200!
DELETE /v1/responses/{response_id}                                  401  404  404  404  404  404  404  404  200
DELETE /api/chat/sessions/{session_id}                              404  404  404  404  404  404  404  404  202
DELETE /api/chat/sessions                                           200  200  200  200  200  200  200  200  200

# Begin: a session of the caller's own, by whatever id
POST /api/chat/sessions/{session_id}/messages                       202  202  202  202  202  404  202  202  202
POST /api/chat/sessions                                             202  200  200  200  200  404  200  200  200!
POST /api/sessions                                                  202  202  202  202  202  202  202  202  202
POST /api/chat                                                      200  200  200  200  200  404  200  200  200
POST /v1/chat/completions                                           401  200  200  200  200  404  200  200  200
POST /v1/responses                                                  401  200  200  200  200  404  200  200  200

# End
DELETE /api/me/data                                                 401  202  202  403  202  403  403  202  202
POST /api/auth/login                                                200  410  410  410  410  410  410  410  410
"""


def _read(table: str) -> Mapping[Route, Mapping[str, Cell]]:
    read: dict[Route, Mapping[str, Cell]] = {}
    for line in table.splitlines()[2:]:
        if not line or line.startswith("#"):
            continue
        method, path, *cells = line.split()
        assert len(cells) == len(CALLERS), f"{method} {path} has {len(cells)} cells"
        assert (method, path) not in read, f"{method} {path} stands twice"
        each = (Cell(int(cell.rstrip("!")), cell.endswith("!")) for cell in cells)
        read[method, path] = dict(zip(CALLERS, each, strict=True))
    return read


TABLE = _read(_TABLE)
# Those of the public address that its document does not name.
UNDOCUMENTED = frozenset(
    route
    for route in TABLE
    if route[0] == "HEAD" or route[1].startswith(("/docs", "/openapi.json", "/privacy", "/metrics", "/turns"))
)
# Those that begin something of the caller's own by an id that nobody has.
BEGINNING = frozenset(
    ("POST", path)
    for path in (
        "/api/chat",
        "/v1/chat/completions",
        "/v1/responses",
        "/api/chat/sessions",
        "/api/chat/sessions/{session_id}/messages",
    )
)
