"""What is tried with every route that the API's document has, so also with one that is added later.

Over a real server, byte by byte: a client would put right what is wrong with a path or a head before it is sent.
"""

import re
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass

import pytest

from deploy.supervisor.machine.ports import free_port
from shared.settings import Settings
from tests.service.gateway.fakes import World
from tests.service.gateway.http.raw_http import Answer, RawCaller, Served, serving_api
from tests.tokens import token_for

Headers = Iterable[tuple[str, str]]
PAGE, EVIL = "https://chat.example", "evil.example"
SOME_ID = "01a1fe39-64df-761e-8663-799e1359cb2d"  # nobody's
# What anybody may call, by whichever name, and with whatever credentials: none are looked at.
OPEN = {("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/api/config"), ("GET", "/api/shared/{token}")}
OPEN |= {("GET", "/api/auth/login"), ("POST", "/api/auth/login"), ("POST", "/api/auth/logout")}
SIGNED = ("POST", "/api/webhooks/{source}")  # by another header than `Authorization`
ANY_NAME = ("/healthz", "/readyz", "/api/webhooks/")


@dataclass
class Api:
    """A gateway's API, served, every route of its document, and somebody who calls."""

    settings: Settings
    served: Served
    routes: list[tuple[str, str]]
    _caller: RawCaller | None = None

    def path(self, pattern: str) -> str:
        return re.sub(r"\{\w+\}", SOME_ID, pattern)

    def token(self, role: str = "user") -> tuple[str, str]:
        return "Authorization", f"Bearer {token_for(self.settings, 'u1', role=role)}"

    async def ask(self, method: str, path: str, headers: Headers = (), host: str = "gateway.test") -> Answer:
        """Send just this, and an empty object where there may be a body; of what has no end read the head."""
        body = b"{}" if method in ("POST", "PUT", "PATCH") else b""
        rows = [("Host", host), ("Content-Type", "application/json"), ("Content-Length", str(len(body))), *headers]
        head = "".join(f"{name}: {value}\r\n" for name, value in rows)
        caller = self._caller or await self.served.call()
        await caller.say(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body)
        answer = await caller.head()
        if answer.headers.get("content-type", "").startswith("text/event-stream"):
            caller.writer.close()
        elif answer.status != 204:
            answer.body = await caller.body_of(answer)
        self._caller = None if caller.writer.is_closing() or answer.headers.get("connection") == "close" else caller
        return answer


@pytest.fixture(scope="module")
async def api() -> AsyncIterator[Api]:
    settings = Settings(
        _env_file=None,
        environment="test",
        allowed_hosts="gateway.test",
        cors_origins=PAGE,
        http_port=free_port(),
        stored_wait_s=0.0,
        calls_per_minute=1_000_000,
        visitor_turns_per_minute=1_000_000,
    )
    app = World(settings=settings).api()
    routes = [(method.upper(), path) for path, methods in app.openapi()["paths"].items() for method in methods]
    async with serving_api(settings, app) as served:
        yield Api(settings, served, sorted(routes))


async def test_two_credentials_are_none_though_both_are_good(api: Api) -> None:
    token, wrong = api.token("admin"), ("Authorization", "Bearer nonsense")
    assert {*OPEN, SIGNED} <= {*api.routes}
    odd = []
    for method, pattern in api.routes:
        if (method, pattern) in OPEN or (method, pattern) == SIGNED:
            continue
        for headers in ([token, token], [token, wrong], [wrong, token], [token, ("authorization", "")]):
            answer = await api.ask(method, api.path(pattern), headers)
            if answer.status != 401 or b"Send one `Authorization` header." not in answer.body:
                odd.append(f"{method} {pattern}: {answer.status} {answer.body[:100]!r}")
    assert not odd, "\n".join(odd)


TRICKS: dict[str, Callable[[str], str]] = {
    "a slash before": lambda path: "/" + path,
    "another host before": lambda path: f"//{EVIL}{path}",
    "another origin before": lambda path: f"/https://{EVIL}{path}",
    "another origin by %": lambda path: f"/%2f%2f{EVIL}{path}",
    "a slash twice": lambda path: path[0] + path[1:].replace("/", "//", 1) if "/" in path[1:] else path + "//",
    "a slash behind": lambda path: path + "/",
    "a slash behind by %": lambda path: path + "%2f",
    "a dot": lambda path: "/." + path,
    "a dot behind": lambda path: path + "/.",
    "two dots": lambda path: "/api/.." + path,
    "two dots behind": lambda path: path + "/..",
    "two dots by %": lambda path: "/api/%2e%2e" + path,
    "two dots and a slash by %": lambda path: "/api/..%2f" + path[1:],
    "two dots by % twice": lambda path: "/api/%252e%252e" + path,
    "two dots and a parameter": lambda path: "/api/..;" + path,
    "a parameter behind": lambda path: path + ";a=b",
    "a parameter within": lambda path: "/" + path[1:].replace("/", ";a=b/", 1) if "/" in path[1:] else path + ";",
    "a backslash": lambda path: "/\\" + path[1:],
    "a backslash by %": lambda path: "/%5c" + path[1:],
    "a NUL": lambda path: path + "%00",
    "a line end": lambda path: path + "%0d%0aSet-Cookie:%20a=b",
    "a blank": lambda path: path + "%20",
    "no UTF-8": lambda path: path + "%c0%ae",
    "half an escape": lambda path: path + "%",
    "capitals": str.upper,
}


@pytest.mark.parametrize("trick", TRICKS)
async def test_no_trick_with_a_path_reaches_anything_or_sends_anybody_elsewhere(api: Api, trick: str) -> None:
    odd = []
    for method, pattern in api.routes:
        path = TRICKS[trick](api.path(pattern))
        answer = await api.ask(method, path, [api.token("admin")])
        if answer.status not in (400, 401, 404, 405, 422) or {"location", "set-cookie", "refresh"} & {*answer.headers}:
            odd.append(f"{method} {path}: {answer.status} {answer.headers} {answer.body[:100]!r}")
        if EVIL in str(answer.headers):
            odd.append(f"{method} {path} is told back: {answer.headers}")
    assert not odd, "\n".join(odd)


@pytest.mark.parametrize("role", [None, "user"])
async def test_a_path_that_is_spelled_by_escapes_opens_what_it_opens_in_letters(api: Api, role: str | None) -> None:
    """So that nothing goes by one spelling in one place, and by the other in the next."""
    credentials = [api.token(role)] if role else []
    odd = []
    for method, pattern in api.routes:
        path = api.path(pattern)
        escaped = re.sub(r"[a-z]", lambda letter: f"%{ord(letter[0]):02x}", path)
        plain, other = [await api.ask(method, each, credentials) for each in (path, escaped)]
        if (plain.status, plain.headers.get("content-type")) != (other.status, other.headers.get("content-type")):
            odd.append(f"{method} {path}: {plain.status}, and by escapes {other.status}")
    assert not odd, "\n".join(odd)


HOSTS = [EVIL, "", "gateway.test.evil.example", "evil.example:80", "gateway.test@evil.example", "evilgateway.test"]


@pytest.mark.parametrize("host", [*HOSTS, "127.0.0.1.evil.example", "[::1].evil.example", "gateway.test, evil.example"])
async def test_who_has_no_token_calls_by_a_name_of_ours_or_not_at_all(api: Api, host: str) -> None:
    said = [(f"X-{name}", "gateway.test") for name in ("Forwarded-Host", "Host", "Original-Host", "Forwarded-Server")]
    said.append(("Forwarded", "host=gateway.test"))
    odd = []
    for method, pattern in api.routes:
        answer = await api.ask(method, api.path(pattern), said, host)
        if pattern.startswith(ANY_NAME) == (answer.status == 421):
            odd.append(f"{method} {pattern}: {answer.status} {answer.body[:100]!r}")
    assert not odd, "\n".join(odd)


async def test_no_answer_has_the_name_by_which_it_was_asked_for(api: Api) -> None:
    said = [(f"X-Forwarded-{name}", EVIL) for name in ("Host", "Server", "Prefix", "Proto")]
    said += [("X-Original-URL", f"//{EVIL}"), ("X-Rewrite-URL", f"//{EVIL}"), ("Referer", f"https://{EVIL}/")]
    odd = []
    for method, pattern in api.routes:
        answer = await api.ask(method, api.path(pattern), [api.token("admin"), *said], EVIL)
        if EVIL in str(answer.headers) or EVIL.encode() in answer.body or 300 <= answer.status < 400:
            odd.append(f"{method} {pattern}: {answer.status} {answer.headers} {answer.body[:100]!r}")
    assert not odd, "\n".join(odd)


def asks_for(method: str, origin: str) -> list[tuple[str, str]]:
    sent = ("Access-Control-Request-Headers", "authorization, content-type, x-anything")
    return [("Origin", origin), ("Access-Control-Request-Method", method), sent]


async def test_a_page_that_is_named_may_ask_of_every_route_and_another_of_none(api: Api) -> None:
    odd = []
    for method, pattern in api.routes:
        asked = await api.ask("OPTIONS", api.path(pattern), asks_for(method, PAGE))
        allowed = asked.headers.get("access-control-allow-methods", "").split(", ")
        if (asked.status, asked.headers.get("access-control-allow-origin")) != (204, PAGE) or method not in allowed:
            odd.append(f"{method} {pattern}: {asked.status} {asked.headers}")
        refused = await api.ask("OPTIONS", api.path(pattern), asks_for(method, f"https://{EVIL}"))
        if refused.status != 405 or any(name.startswith("access-control-") for name in refused.headers):
            odd.append(f"{method} {pattern} by another: {refused.status} {refused.headers}")
    assert not odd, "\n".join(odd)


async def test_no_route_lets_another_page_write_by_a_cookie(api: Api) -> None:
    """Neither by one that asked nobody, since it sends what a form sends, nor by one that is named."""
    made = await api.ask("POST", "/api/auth/visitor")
    cookie = ("Cookie", made.headers["set-cookie"].partition(";")[0])
    odd = []
    for method, pattern in api.routes:
        if method == "GET" or pattern.startswith("/api/webhooks"):
            continue
        for origin in ([("Origin", f"https://{EVIL}")], [("Origin", PAGE)], [("Sec-Fetch-Site", "same-site")]):
            answer = await api.ask(method, api.path(pattern), [cookie, *origin])
            if answer.status not in (401, 403, 415):
                odd.append(f"{method} {pattern} {origin}: {answer.status} {answer.body[:100]!r}")
    assert not odd, "\n".join(odd)


BOMBS = {
    "one that is long": [("Cookie", "visitor=" + "x" * 70_000)],
    "many in one header": [("Cookie", "; ".join(f"c{number}=1" for number in range(10_000)))],
    "many headers": [("Cookie", f"c{number}=1") for number in range(220)],
    "one beside others": [("Cookie", "login=" + "x" * 40_000), ("Cookie", "session_id=" + "y" * 40_000)],
}


@pytest.mark.parametrize("bomb", BOMBS)
async def test_more_cookies_than_there_may_be_are_431(api: Api, bomb: str) -> None:
    answer = await api.ask("GET", "/api/me", BOMBS[bomb])
    assert (answer.status, answer.headers["connection"]) == (431, "close")
    assert b'"code":"head_too_large"' in answer.body


async def test_as_many_cookies_as_there_may_be_make_no_one_of_anybody(api: Api) -> None:
    odd = []
    for name in ("visitor", "login", "session_id", "__Host-login", "__Host-visitor"):
        for value in ("x" * 43, token_for(api.settings, "ann"), '"', "a.b.c"):
            cookies = [("Cookie", f"{name}={value}; " * (50_000 // len(f"{name}={value}; ")))]
            answer = await api.ask("GET", "/api/me", cookies)
            if answer.status not in (401, 429):
                odd.append(f"{name}={value}: {answer.status} {answer.body[:100]!r}")
    assert not odd, "\n".join(odd)
