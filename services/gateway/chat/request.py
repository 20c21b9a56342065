"""Read the body of `POST /api/chat`, in any of the shapes that its kinds of client send.

- what `useChat` of the AI SDK sends: `{id, messages, trigger, messageId}`, where the last user message is the new one;
- `{session_id or threadId, message}`;
- `{userMessages}`: one element is new; of more, what follows the longest prefix equal to the session's user texts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from services.gateway.http.answers.media_ranges import accepted_ranges
from services.gateway.http.requests.fields import MOST_PARTS, check_extras
from services.gateway.http.requests.idempotency_key import read_key
from services.gateway.http.requests.json_body import read_json, require_json
from services.gateway.http.requests.refused_field import refused_field
from services.gateway.turns.call_parts import ANSWERED
from services.gateway.turns.consent import LONGEST_REASON, Consent
from services.gateway.turns.running import OnBusy
from services.gateway.turns.turn import Question
from shared.errors import Invalid
from shared.ids import is_client_id

MOST_MESSAGES = 5000  # in one request, which `useChat` makes of all that was said
MAX_EXTRA_BYTES = 65_536  # of JSON that a message has beside its texts, where nothing else is set

Value = TypeVar("Value")
AnswerForm = Literal["ui", "text", "json"]
Parts = Annotated[list[dict[str, Any]], msgspec.Meta(max_length=MOST_PARTS)]
DATA_PART = "data-"  # what an application keeps with a message for itself (AI SDK); no model is meant to see it


class ChatMessage(msgspec.Struct):
    """A message as clients spell it: `parts` in the AI SDK, `content` elsewhere."""

    id: str | None = None
    role: str | None = None  # none: the user's
    content: str | Parts | None = None
    parts: Parts | None = None
    metadata: dict[str, Any] | None = None


Messages = Annotated[list[ChatMessage], msgspec.Meta(max_length=MOST_MESSAGES)]
UserMessages = Annotated[list[str | ChatMessage], msgspec.Meta(max_length=MOST_MESSAGES)]


class ChatBody(msgspec.Struct):
    """What is ours of a body. Frontends add fields of their own (`system`, `tools`, `data`), which say nothing here."""

    id: str | None = None
    chat_session_id: str | None = None
    chatSessionId: str | None = None  # noqa: N815 - the older clients' spelling, here and below
    session_id: str | None = None
    sessionId: str | None = None  # noqa: N815
    thread_id: str | None = None
    threadId: str | None = None  # noqa: N815
    messages: Messages | None = None
    message: str | ChatMessage | None = None
    user_messages: UserMessages | None = None
    userMessages: UserMessages | None = None  # noqa: N815
    trigger: Literal["submit-message", "regenerate-message"] | None = None
    message_id: str | None = None
    messageId: str | None = None  # noqa: N815
    parent_id: str | None = None
    parentId: str | None = None  # noqa: N815
    project_id: str | None = None
    projectId: str | None = None  # noqa: N815
    model: str | None = None
    helper: str | None = None
    metadata: dict[str, Any] | None = None
    stream: bool | None = None
    on_busy: OnBusy | None = None


@dataclass(frozen=True)
class ChatRequest:
    """What a caller asks for, whatever shape it came in."""

    session_id: str | None  # none: a new session
    session_is_named: bool  # not only kept by the browser, as the session it was last in
    questions: tuple[Question, ...]  # the new message last; those before it only with `userMessages`
    form: AnswerForm
    model: str | None
    helper: str | None
    project_id: str | None
    parent_id: str | None
    regenerate: bool  # answer a message again that is there already
    regenerate_id: str | None  # the answer, or the question, that it is about; none: the newest
    key: str | None  # what makes a repeat the same turn
    body_hash: bytes
    on_busy: OnBusy | None = None  # what becomes of another turn of its session; none: see `RunningTurns.make_way`
    metadata: dict[str, Any] = field(default_factory=dict)
    shown_before: str | None = None  # the message that the client shows just before its question
    traceparent: str | None = None  # of the request's span
    first_asking: "ChatRequest | None" = None  # of a regeneration: what it is where its question never arrived
    client: Mapping[str, str] | None = None  # from where it comes, as far as that is kept
    consents: tuple[Consent, ...] = ()  # it asks nothing, but says whether calls that wait may be made

    @property
    def about(self) -> list[str]:
        """The messages that it names, in the client's words; most are new."""
        named = (*(question.message_id for question in self.questions), self.parent_id, self.regenerate_id)
        return [message_id for message_id in named if message_id]


def read_chat_request(
    body: bytes,
    headers: Mapping[str, str],
    kept_sessions: Iterable[str] = (),
    max_extra_bytes: int = MAX_EXTRA_BYTES,
    *,
    traceparent: str | None = None,
    client: Mapping[str, str] | None = None,
) -> ChatRequest:
    """Read one request.

    Args:
        body: As it came.
        headers: The request's.
        kept_sessions: Those that the browser was in last.
        max_extra_bytes: Of JSON that a message may have beside its texts.
        traceparent: Of the request's span.
        client: From where it comes, as far as that is kept.

    Raises:
        Invalid: The body is no such request; the detail says where.
        TooLarge: A message has too much beside its texts.
        UnsupportedMedia: It does not say that it is JSON, and may come from another site's form.
    """
    require_json(headers)
    parsed = _decode(body)
    named = _named_session(parsed, headers)
    session_id = named or _kept_session(kept_sessions)
    questions = _questions(parsed)
    regenerate = parsed.trigger == "regenerate-message"
    consents = () if regenerate else _consents(parsed.messages or [])
    if not questions and not regenerate and not consents:
        raise refused_field("message", "is missing: send messages, message or userMessages")
    if len(body) > max_extra_bytes:
        _check_extras(questions, parsed.metadata, max_extra_bytes)
    key, body_hash = _identity(body, headers, named, questions)
    asking = ChatRequest(
        session_id=session_id,
        session_is_named=named is not None,
        questions=tuple(questions),
        form=form_of(headers, stream=parsed.stream, is_list=_listed(parsed) is not None),
        model=_name(parsed.model, "model"),
        helper=_name(parsed.helper, "helper"),
        project_id=_name(_given(parsed.project_id, parsed.projectId), "project_id"),
        parent_id=_client_id(_given(parsed.parent_id, parsed.parentId), "parent_id"),
        regenerate=False,
        regenerate_id=_client_id(_given(parsed.message_id, parsed.messageId), "message_id"),
        key=key,
        body_hash=body_hash,
        on_busy=parsed.on_busy,
        metadata=parsed.metadata or {},
        shown_before=_shown_before(parsed.messages or []),
        traceparent=traceparent,
        client=client,
        consents=consents,
    )
    if not regenerate:
        return asking
    key, body_hash = _identity(body, headers, named, [])
    return replace(asking, regenerate=True, key=key, body_hash=body_hash, first_asking=asking if questions else None)


def _decode(body: bytes) -> ChatBody:
    try:
        return msgspec.convert(read_json(body), ChatBody)
    except msgspec.ValidationError as error:
        raise _misfit(str(error)) from error


def _misfit(text: str) -> Invalid:
    """Name the field of msgspec's "Expected `str`, got `int` - at `$.messages[0].id`", as `messages.0.id`."""
    what, _, path = text.partition(" - at `$")
    field = path.rstrip("`").replace("[", ".").replace("]", "").lstrip(".")
    return refused_field(field, what) if field else Invalid(what)


def _named_session(parsed: ChatBody, headers: Mapping[str, str]) -> str | None:
    # By its own name first: where both are sent, `sessionId` may be what its client calls its user.
    own = _given(parsed.chat_session_id, parsed.chatSessionId)
    named = _given(own, parsed.session_id, parsed.sessionId, parsed.thread_id, parsed.threadId, parsed.id)
    return _client_id(named, "session_id") or _client_id(headers.get("x-session-id"), "X-Session-Id")


def _given(*spellings: str | None) -> str | None:
    """Return the first that is there; null is as good as nothing, an empty text is somebody's mistake."""
    return next((value for value in spellings if value is not None), None)


def _kept_session(kept: Iterable[str]) -> str | None:
    """Read the cookie, which nobody can mend, so a bad one must not lock its browser out."""
    return next(filter(is_client_id, kept), None)


def _client_id(value: str | None, name: str) -> str | None:
    if value is None or is_client_id(value):
        return value
    raise refused_field(name, "must be 1 to 64 of A-Za-z0-9_-")


def _name(value: str | None, name: str) -> str | None:
    if value is None or (len(value) <= 255 and value.strip()):
        return value
    raise refused_field(name, "must have 1 to 255 characters, and not only spaces")


def _questions(parsed: ChatBody) -> list[Question]:
    """Return the user's messages that this request is about, in order."""
    listed = _listed(parsed)
    if listed is not None:
        return [_question(item) for item in listed]
    if parsed.message is not None:
        return [_question(parsed.message)]
    spoken = [message for message in parsed.messages or [] if message.role in ("user", None)]
    return [_question(spoken[-1])] if spoken else []


def _listed(parsed: ChatBody) -> list[str | ChatMessage] | None:
    return parsed.user_messages if parsed.user_messages is not None else parsed.userMessages


def _consents(messages: Sequence[ChatMessage]) -> tuple[Consent, ...]:
    """Return what the user says to the calls of an answer, where that is what a client of the AI SDK shows last."""
    last = messages[-1] if messages else None
    parts = last.parts if last is not None and last.role == "assistant" else None
    return tuple(
        Consent(
            _of_type(str, approval.get("id"), "approval.id"),
            _of_type(bool, approval.get("approved"), "approval.approved"),
            str(approval.get("reason") or "")[:LONGEST_REASON] or None,
        )
        for part in parts or ()
        if part.get("state") == ANSWERED and isinstance(approval := part.get("approval"), dict)
    )


def _of_type(kind: type[Value], value: Any, name: str) -> Value:
    if not isinstance(value, kind):
        raise refused_field(name, f"must be a {kind.__name__}")
    return value


def _shown_before(messages: Sequence[ChatMessage]) -> str | None:
    """Return the id of what stands before the last message of the user."""
    asked = next((at for at in reversed(range(len(messages))) if messages[at].role in ("user", None)), 0)
    return messages[asked - 1].id if asked else None


def _question(item: str | ChatMessage) -> Question:
    message = ChatMessage(content=item) if isinstance(item, str) else item
    if message.role not in ("user", None):
        raise refused_field("role", "must be user: nothing else can be asked")
    parts = _parts(message)
    text = "\n".join(part["text"] for part in parts if part["type"] == "text")
    if not text.strip():
        raise refused_field("message", "must have text")
    message_id = _client_id(message.id, "message.id")
    return Question(message_id=message_id or "", content=text, parts=parts, metadata=message.metadata or {})


def _parts(message: ChatMessage) -> list[dict[str, Any]]:
    parts = message.parts if message.parts is not None else message.content
    if not isinstance(parts, list):
        return [{"type": "text", "text": parts}] if parts is not None else []
    for part in parts:
        if not isinstance(part.get("type"), str):
            raise refused_field("parts", "must each have a type")
        if part["type"] == "text" and not isinstance(part.get("text"), str):
            raise refused_field("parts", "of type text must have a text")
        if part["type"] != "text" and not part["type"].startswith(DATA_PART):
            raise refused_field("parts", "must be text: files and the like cannot be shown to the model yet")
    return parts


def _check_extras(questions: Sequence[Question], metadata: dict[str, Any] | None, most: int) -> None:
    """Refuse what is kept with a message and shown with it each time, but is no text, where it is too much."""
    for question in questions:
        parts = [{**part, "text": ""} if part["type"] == "text" else part for part in question.parts]
        check_extras(most, parts, question.metadata, metadata)


def form_of(headers: Mapping[str, str], *, stream: bool | None, is_list: bool = False) -> AnswerForm:
    """Return the form of answer that a request asks for; clients that send `userMessages` read plain text."""
    if stream is False:
        return "json"
    accepted = accepted_ranges(headers.get("accept", ""))
    plain = accepted.get("text/plain", 0)
    if plain > 0 and plain >= accepted.get("text/event-stream", 0):
        return "text"
    own_accept = accepted.keys() - {"*/*"}
    return "text" if is_list and not own_accept else "ui"


def _identity(
    body: bytes, headers: Mapping[str, str], named: str | None, questions: Sequence[Question]
) -> tuple[str | None, bytes]:
    """Return what makes a repeat the same turn, and the hash that must then be equal.

    The key is the caller's, else the client's message id with its text; so the same id with another text is an edit.
    A message id is a key in a session that the request names: many clients begin each conversation with the same one.
    """
    key = read_key(headers)
    if key is not None:
        return f"key:{key}", sha256(body).digest()
    newest = questions[-1] if questions else None
    if named is None or newest is None or not newest.message_id:
        return None, sha256(body).digest()
    text_hash = sha256(msgspec.json.encode([newest.content, newest.parts]))
    return f"message:{named}:{newest.message_id}:{text_hash.hexdigest()[:32]}", text_hash.digest()
