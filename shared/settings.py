"""The settings: one frozen object, read once from the environment (and `.env`) at start."""

import re
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network
from os import getpid
from socket import gethostname
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, create_model
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.configured.own_address import own_address
from shared.configured.urls import is_base_url, malformed
from shared.configured.webhook_senders import checked_senders
from shared.production import unsafe

DEVELOPMENT_SECRET = "development-only-secret-of-32-bytes!"  # noqa: S105 - refused in production
SIGNING = ("jwt_secret", "cookie_secret")
SIGNED = ("jwt_previous_secret", "cookie_previous_secret")  # counts too where it is set
SHORTEST_SECRET = 32  # bytes, of what signs; RFC 7518, section 3.2
SANDBOX_KEY = "sandbox"
PUBLIC_SECRETS = (DEVELOPMENT_SECRET, SANDBOX_KEY)

# What each part of Tripthread cannot run without.
NEEDED = {
    "migrate": ("database_url",),
    "gateway": (
        "gateway_database_url",
        "reader_database_url",
        "admin_database_url",
        "amqp_url",
        "jwt_secret",
        "cookie_secret",
        "openai_api_key",
        "avinode_webhook_password",
    ),
    "logger": ("logger_database_url", "amqp_url"),
    "tagger": ("tagger_database_url", "amqp_url"),
    "workflow": ("workflow_database_url", "amqp_url", "avinode_api_token", "avinode_auth_token"),
}

# The systems outside that a part calls, which have an address by default.
CALLED = {"gateway": ("openai_base_url",), "workflow": ("avinode_base_url",)}


Network = IPv4Network | IPv6Network
ProxyHeader = Literal["x-forwarded-for", "forwarded"]


def read_networks(text: str) -> tuple[Network, ...]:
    """Read networks in CIDR notation, or single addresses, with commas between them.

    Raises:
        ValueError: One of them is none.
    """
    return tuple(ip_network(each.strip()) for each in text.split(",") if each.strip())


def _checked_networks(text: str) -> str:
    read_networks(text)
    return text


def _checked_origins(text: str) -> str:
    for each in filter(None, map(str.strip, text.split(","))):
        if not re.fullmatch(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?", each):
            raise ValueError("must be origins, such as https://chat.example.com, with commas between")
    return text


def _checked_page(text: str) -> str:
    """Refuse what a browser would not open as a page: a button leads there."""
    if text and not is_base_url(text):
        raise ValueError("must be a URL of a page, such as https://login.example.com/")
    return text


def _checked_address(text: str) -> str:
    """Refuse what could be another header, or is no address of ASCII."""
    if text and not re.fullmatch(r"[!-;=?A-~]+@[A-Za-z0-9.-]+", text):
        raise ValueError("must be an address, such as offers@example.com")
    return text


class Misconfigured(ValueError):
    """What a file says that a setting names cannot be meant so; the text names the setting, the file and the key."""


class Settings(BaseSettings):
    """Every variable of every process; a process needs only those of the parts it runs.

    `.env.example` lists them with one line each; a test keeps the two together.
    """

    model_config = SettingsConfigDict(
        frozen=True, env_file=".env", extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    environment: Literal["development", "test", "production"] = "development"
    # This process's name in logs, spans and the connections of both servers; replicas must not share one.
    instance: str = Field(default_factory=lambda: f"{gethostname()}-{getpid()}")
    log_level: str = "INFO"
    otel_exporter_otlp_endpoint: str = ""  # empty: spans are made and propagated, but not exported

    # Where it listens. The internal address serves health, readiness and metrics, and is never public.
    http_host: str = "127.0.0.1"
    http_port: int = 8080
    # The proxies whose word counts for who calls, and by which scheme (X-Forwarded-For, X-Forwarded-Proto): CIDRs.
    trusted_proxies: Annotated[str, AfterValidator(_checked_networks)] = ""
    proxy_header: ProxyHeader = "x-forwarded-for"  # by which they say so; the other one counts for nothing
    allowed_hosts: str = ""  # names with commas between, by which callers without `Authorization` may call it
    cors_origins: Annotated[str, AfterValidator(_checked_origins)] = ""  # whose pages may call it by a token
    # What a caller of the public port may send, how long it may take, and how many may be there at once.
    http_head_bytes: int = Field(64 * 2**10, ge=4096)  # the head of a request, at most; then 431
    http_head_s: float = Field(10.0, gt=0)  # from a head's first byte to its last; then 408
    http_body_s: float = Field(10.0, gt=0)  # the longest pause in a body; then 408
    http_whole_body_s: float = Field(60.0, gt=0)  # from a body's first byte to its last; then 408
    http_idle_s: float = Field(130.0, gt=0)  # between two requests: longer than proxies keep a connection
    http_unread_s: float = Field(60.0, gt=0)  # that nothing of an answer is taken; then the connection is ended
    # What still comes of a request that has its answer already is dropped, so much and so long, before the end.
    http_drop_bytes: int = Field(64_000_000, ge=0)
    http_drop_s: float = Field(10.0, gt=0)
    http_connections: int = Field(4000, ge=1)  # at once, on one replica; idle ones make room for others
    internal_host: str = "127.0.0.1"
    internal_port: int = 9080
    internal_url: str = ""  # where other gateways reach that; empty: by this host's own address

    # PostgreSQL: the owner's login migrates; each service logs in as its own role.
    database_url: str = ""
    gateway_database_url: str = ""
    reader_database_url: str = ""  # the gateway's select-only role under row-level security
    admin_database_url: str = ""  # the gateway's select-only role for administrators
    logger_database_url: str = ""
    tagger_database_url: str = ""
    workflow_database_url: str = ""
    database_pool_size: int = Field(10, ge=1, le=100)

    # RabbitMQ: the administrator's login, for migrate and operators; each service logs in as its own.
    amqp_url: str = "amqp://guest:guest@127.0.0.1:5672/"
    gateway_amqp_url: str = ""  # without it a service uses `amqp_url`, and may do there whatever that may
    logger_amqp_url: str = ""
    tagger_amqp_url: str = ""
    workflow_amqp_url: str = ""
    amqp_management_url: str = ""  # of the broker's management API, by which migrate makes these logins
    publish_timeout_s: float = Field(5.0, gt=0)  # of silence while a confirm is waited for: the connection is given up
    publish_deadline_s: float = Field(10.0, gt=0)  # for all attempts, reconnects included
    # That a turn was told and is not stored, and the logger's queue is empty; then it is told once more.
    lost_after_s: float = Field(60.0, gt=0)
    group_size: int = Field(250, ge=1, le=5000)  # deliveries in one commit, at most
    prefetch: int = Field(500, ge=1, le=10000)  # unacknowledged deliveries on one consumer, at most

    # Callers
    jwt_secret: SecretStr = SecretStr(DEVELOPMENT_SECRET)
    jwt_previous_secret: SecretStr = SecretStr("")  # counts too, while one replaces the other
    jwt_audience: str = ""  # what a token's `aud` must be; production needs one, or the next to be said
    jwt_any_audience: bool = False  # a token may be for any application that has the same secret
    jwt_issuer: str = ""  # what a token's `iss` must be; checked only where it is set
    jwt_jwks_url: str = ""  # where an identity provider shows its keys; `jwt_secret` counts beside it where it is set
    jwt_keys_kept_s: float = Field(24 * 3600.0, gt=0)  # how long these are good while it does not answer
    jwt_leeway_s: float = Field(60.0, ge=0, le=600)  # in `iat` and `nbf`: whoever signs may have a clock ahead of ours
    jwt_role_claim: str = Field("role", min_length=1)  # names with dots between; or one name, where it is a URL
    jwt_projects_claim: str = Field("projects", min_length=1)
    cookie_secret: SecretStr = SecretStr(DEVELOPMENT_SECRET)
    cookie_previous_secret: SecretStr = SecretStr("")  # counts too, while one replaces the other
    allow_visitors: bool | None = None  # None: in development without real keys, and in tests
    max_body_bytes: int = Field(1_000_000, ge=1000)
    body_bytes_at_once: int = Field(64 * 2**20, ge=2**20)  # of bodies that come or are read; an account has a quarter
    head_bytes_at_once: int = Field(16 * 2**20, ge=2**18)  # of heads and waiting requests, of all connections
    max_message_characters: int | None = Field(None, ge=1)  # of one that a user says; empty: as the body's bytes allow
    max_extra_bytes: int = Field(65_536, ge=1000)  # of one message: its metadata, and its parts beside their texts
    read_bytes_at_once: int = Field(32 * 2**20, ge=2**20)  # of messages that are read for callers and not sent yet
    turn_bytes_at_once: int = Field(64 * 2**20, ge=2**20)  # of texts of turns that run; an account has a quarter
    calls_per_minute: int = Field(1200, ge=1)  # of routes other than the chat's, for one user, on one replica
    wrong_keys_per_minute: int = Field(30, ge=1)  # from one address, on one replica; then no unknown one is looked up
    turns_per_minute: int = Field(300, ge=1)  # for one user, on one replica
    turns_at_once: int = Field(200, ge=1)  # for one user, on one replica; all visitors of one address are one
    all_turns_at_once: int = Field(1000, ge=1)  # of everybody, on one replica; visitors have half of them at most
    event_streams_at_once: int = Field(50, ge=1)  # open ones of one user, on one replica; visitors as with turns
    all_event_streams: int = Field(2000, ge=1)  # of everybody; more are 503, and visitors have half of them at most
    event_looks_s: float = Field(10.0, gt=0, le=15)  # between two looks for what was changed and never told
    messages_per_minute: int = Field(600, ge=1)  # that one user stores, beside those of turns, on one replica
    visitor_turns_per_minute: int = Field(300, ge=1)  # of all visitors of one address, with the making of visitors
    # By the day, which is UTC's, and in all, wherever they are asked for; empty: as many as one likes.
    turns_per_day: int | None = Field(None, ge=0)  # of one user; all visitors of one address are one
    tokens_per_day: int | None = Field(None, ge=0)  # of one user: who has had as many begins no turn
    sessions_per_day: int | None = Field(None, ge=0)  # that one user begins
    sessions_in_all: int | None = Field(None, ge=0)  # that one user, or one visitor, has
    visitor_turns_per_day: int | None = Field(None, ge=0)  # of all visitors of one address; empty: as of a user
    visitor_tokens_per_day: int | None = Field(None, ge=0)  # the same of tokens
    allowed_models: str = (
        ""  # names with commas between, beside the default one; see services/gateway/models/allowed.py
    )
    track_new_models: bool = False  # is a model that is first seen in a question registered, and its sessions tagged?
    admins_read_bodies: bool = True  # may an administrator read what users said? Each time is recorded
    visitor_trips: bool = False  # may a visitor order trips, and attach them?
    trip_orders_per_minute: int = Field(60, ge=1)  # of one user, on one replica
    proposal_sends_per_hour: int = Field(60, ge=1)  # of one user, on one replica
    trip_guesses_per_hour: int = Field(20, ge=1)  # attachments of one user that are wrong, on one replica
    visitor_models: str = ""  # the same for visitors, who have no others
    # Of whoever sends a message, for administrators and their own export.
    keep_addresses: bool = True  # the /24 of an IPv4 address, the /48 of an IPv6 address; off: nothing
    keep_user_agents: bool = False
    privacy_file: str = ""  # the text of /privacy; empty: what follows from these settings
    # Where an identity provider signs users in, and what it is called: for frontends.
    login_url: Annotated[str, AfterValidator(_checked_page)] = ""
    login_name: str = Field("", max_length=100)
    exports_at_once: int = Field(4, ge=1)  # of all that is kept of one person, on one replica
    # After how many days what is stored goes by itself; empty: it stays. See shared/jobs/retention.py.
    sessions_kept_days: int | None = Field(None, ge=1, le=36500)  # since anything was said or set in one
    turns_kept_days: int | None = Field(None, ge=1, le=36500)  # that nobody could store; others go after a day
    traces_kept_days: int | None = Field(None, ge=1, le=36500)
    reads_kept_days: int | None = Field(None, ge=1, le=36500)  # records of what administrators read
    dead_letters_kept_days: int | None = Field(None, ge=1, le=36500)  # parked ones too
    deliveries_kept_days: int | None = Field(None, ge=1, le=36500)  # notices that are worked no more
    stored_wait_s: float = Field(2.0, ge=0)  # how long a write waits until its row is readable

    # The model: any OpenAI-compatible service
    openai_base_url: str = "https://api.openai.com/v1"
    openai_api_key: SecretStr = SecretStr(SANDBOX_KEY)
    model_provider: str = "openai"  # the provider's name in model ids and traces
    default_model: str = "sandbox-small"
    title_model: str = ""  # which of the configured models titles sessions; empty: each has its first question's words
    title_s: float = Field(60.0, gt=0)  # for one title; then the session keeps the one that it has
    titles_at_once: int = Field(4, ge=1, le=100)  # on one replica
    model_connect_s: float = Field(5.0, gt=0)  # to reach the service
    model_first_piece_s: float = Field(300.0, gt=0)  # from the call to the first piece of the answer
    model_silence_s: float = Field(60.0, gt=0)  # the longest pause between two pieces of an answer
    model_turn_s: float = Field(900.0, gt=0)  # from the call to the end of the answer; no session is busy for longer
    models_file: str = ""  # TOML: further services, and which models each of them has; empty: only the one above
    helpers_file: str = ""  # TOML: the configured assistants; empty: the one that comes with Tripthread
    model_event_bytes: int = Field(8 * 2**20, ge=1024)  # one event of an answer, or one line, at most
    model_answer_characters: int = Field(1_000_000, ge=1000, le=1_000_000)  # more fits no event
    context_tokens: int = Field(100_000, ge=100)  # of a request to a model whose own number MODELS_FILE does not have
    bytes_per_token: float = Field(4.0, gt=0)  # of UTF-8: a rule of thumb, since each model cuts in its own way
    context_bytes: int = Field(1_000_000, ge=1000)  # of the past that the model is told, at most, the newest
    tool_rounds: int = Field(8, ge=2, le=100)  # calls of the model in one turn; in the last one it may call no tool
    tool_call_s: float = Field(30.0, gt=0)  # for one call of a tool
    tool_result_bytes: int = Field(16_384, ge=100, le=65_536)  # of one result, as JSON; of more there is the beginning
    system_prompt: str = "You are a charter broker's assistant."

    # Avinode
    avinode_base_url: str = "https://sandbox.avinode.com/api"
    avinode_api_token: SecretStr = SecretStr(SANDBOX_KEY)
    avinode_auth_token: SecretStr = SecretStr(SANDBOX_KEY)
    # Instead of that token: OAuth client credentials, for which tokens are got as they are needed.
    avinode_client_id: str = ""
    avinode_client_secret: SecretStr = SecretStr("")
    avinode_webhook_user: str = "avinode"
    avinode_webhook_password: SecretStr = SecretStr(DEVELOPMENT_SECRET)
    avinode_webhook_previous_password: SecretStr = SecretStr("")  # counts too, until Avinode has the new one
    # Others that may post, `name=whsec_...` with commas between; a name that stands twice has two secrets.
    webhook_senders: Annotated[SecretStr, AfterValidator(checked_senders)] = SecretStr("")
    avinode_calls_per_s: float = Field(1.0, gt=0)  # the token bucket's refill; Avinode allows about one a second
    avinode_burst: int = Field(10, ge=1)
    # An open trip is read again after as long as it has been quiet at Avinode, but after this at least and at most.
    trip_reread_s: float = Field(300.0, gt=0)
    trip_reread_longest_s: float = Field(6 * 3600.0, gt=0)
    unmatched_notice_days: float = Field(30.0, gt=0)  # how long a notice of a trip that we do not know is tried
    trips_shared: bool = False  # may a user attach a trip that another user holds?

    # Mail, by which proposals are sent; without a host they are marked as sent by hand.
    smtp_host: str = ""
    smtp_port: int = Field(587, ge=1, le=65535)
    # `starttls` and `tls` never send in the clear; the server's certificate is checked.
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_ca_file: str = ""  # PEM: who may have signed that certificate; empty: whom this host trusts
    smtp_user: str = ""  # empty: without a login
    smtp_password: SecretStr = SecretStr("")
    smtp_from: Annotated[str, AfterValidator(_checked_address)] = ""  # an address
    smtp_timeout_s: float = Field(60.0, gt=0)  # for one mail; later, nobody can tell whether it was sent

    @property
    def visitors_allowed(self) -> bool:
        """Tell whether somebody without credentials may chat; not where that costs real money, unless it is said."""
        if self.allow_visitors is None:
            return self.environment == "test" or (self.environment == "development" and not self._has_real_keys)
        return self.allow_visitors

    @property
    def has_avinode_client(self) -> bool:
        """Tell whether tokens for Avinode are got for a client's id and secret."""
        return bool(self.avinode_client_id and self.avinode_client_secret.get_secret_value())

    @property
    def _has_real_keys(self) -> bool:
        keys = (self.openai_api_key, self.avinode_api_token, self.avinode_auth_token, self.avinode_client_secret)
        return any(key.get_secret_value() not in ("", SANDBOX_KEY) for key in keys)

    @property
    def hs256_secret(self) -> str | None:
        """What signs callers' tokens beside the identity provider's keys; None: nothing does."""
        if self.jwt_jwks_url and "jwt_secret" not in self.model_fields_set:
            return None
        return self.jwt_secret.get_secret_value()

    @property
    def hs256_secrets(self) -> tuple[str, ...]:
        """Those by which a caller's token may be signed, the one that signs first."""
        return tuple(filter(None, (self.hs256_secret, self.jwt_previous_secret.get_secret_value())))

    @property
    def cookie_secrets(self) -> tuple[str, ...]:
        """Those by which a cookie, a link or another gateway may be known, the one that signs first."""
        return tuple(
            filter(None, (each.get_secret_value() for each in (self.cookie_secret, self.cookie_previous_secret)))
        )

    def as_service(self, service: str) -> Self:
        """Return these settings with the service's own login at the broker as `amqp_url`, where there is one."""
        own: str = getattr(self, f"{service}_amqp_url")
        return self.model_copy(update={"amqp_url": own}) if own else self

    @property
    def reachable_at(self) -> str:
        """The base URL of the internal address, for other gateways."""
        if self.internal_url:
            return self.internal_url.rstrip("/")
        host = self.internal_host
        if host in ("0.0.0.0", "::"):  # noqa: S104 - to be told from an address
            host = own_address()  # in a container, what its network knows it by
        return f"http://[{host}]:{self.internal_port}" if ":" in host else f"http://{host}:{self.internal_port}"

    def checked_for(self, part: str) -> Self:
        """Return these settings when `part` can run on them.

        Raises:
            ValueError: A variable that `part` needs is empty, or has a development value in production, or is
                no URL where it should be one, or is unsafe; the text names every such variable.
        """
        bad = [name.upper() for name in NEEDED[part] if self._unfit(name)]
        if bad:
            raise ValueError(f"{part} cannot run in {self.environment}: set {', '.join(bad)}")
        signing = [name for name in (*SIGNING, *SIGNED) if part == "gateway" and self._counts(name)]
        if short := [name.upper() for name in signing if self._is_short(name)]:
            raise ValueError(f"{part} cannot run: {' and '.join(short)} must have {SHORTEST_SECRET} bytes or more")
        urls = (name for name in (*NEEDED[part], *CALLED.get(part, ())) if name.endswith("_url"))
        if wrong := [said for name in urls if (said := malformed(name, getattr(self, name)))]:
            raise ValueError(f"{part} cannot run: {'; '.join(wrong)}")
        if part == "gateway" and self.jwt_jwks_url and (said := malformed("jwt_jwks_url", self.jwt_jwks_url)):
            raise ValueError(f"{part} cannot run: {said}")
        if part == "workflow" and self.smtp_host and not self.smtp_from:
            raise ValueError("workflow cannot run: SMTP_HOST is set, so SMTP_FROM must be")
        if self.environment == "production" and (found := unsafe(self, part)):
            raise ValueError(f"{part} cannot run in production: {'; '.join(found)}")
        return self

    def _unfit(self, name: str) -> bool:
        if name == "openai_api_key" and self.models_file and name not in self.model_fields_set:
            return False  # the file's services are called then, and no other
        if name == "avinode_auth_token" and self.has_avinode_client:
            return False
        if name == "jwt_secret" and self.hs256_secret is None:
            return False
        value = getattr(self, name)
        if not isinstance(value, SecretStr):
            return not value
        secret = value.get_secret_value()
        return not secret or (self.environment == "production" and secret in PUBLIC_SECRETS)

    def _counts(self, name: str) -> bool:
        return name in SIGNING or bool(getattr(self, name).get_secret_value())

    def _is_short(self, name: str) -> bool:
        return len(getattr(self, name).get_secret_value().encode()) < SHORTEST_SECRET


class _Secrets(BaseSettings):
    model_config = Settings.model_config


def read_secrets(variables: Iterable[str]) -> dict[str, SecretStr]:
    """Read secrets whose variables a file names, from where the settings come from; empty where one is not set."""
    fields: dict[str, Any] = {name: (SecretStr, SecretStr("")) for name in variables}
    read = create_model("Secrets", __base__=_Secrets, **fields)()
    return {name: getattr(read, name) for name in fields}
