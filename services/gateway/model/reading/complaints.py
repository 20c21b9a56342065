"""What a model's service says of what went wrong, and how much of that is passed on to whoever chats.

What it says of a 400, 404, 413 or 422 is about the request: a context that is too long, a model that it has not. Of
the others it may be about our account, which is nobody's business who chats: of those only the word that programs know
it by is passed on. Names of accounts and keys are taken out of both.
"""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from services.gateway.model.chunks import Complaint
from services.gateway.model.reading.surrogates import without_halves

ABOUT_THE_REQUEST = frozenset((400, 404, 413, 422))
CREDENTIALS = frozenset((401, 403))
LONGEST_TEXT = 500
NAME = re.compile(r"[A-Za-z_.-]{1,64}")
STATUS = re.compile(r"[45][0-9]{2}")
# Keys and accounts as OpenAI, Anthropic, OpenRouter, Groq, xAI, Google, Hugging Face, Replicate, NVIDIA and Perplexity
# write them, what follows the words that announce one, and mail addresses.
SECRET = re.compile(
    r"\b(?:sk|pk|rk|org|proj|gsk|xai|hf|r8|nvapi|pplx)[-_][\w*.…-]+"
    r"|\b(?:user|acct|account|key|tok|token)[-_](?=[\w-]*\d)[\w-]{8,}"
    r"|\bAIza[\w*…-]+|\b(?:Bearer|Basic) [\w.~+/=*-]{8,}|(?<=api[ _-]key[ :=])\s*[\w.*-]{12,}"
    r"|\b[\w.+-]+@[\w-]+\.[\w.-]+",
    re.IGNORECASE,
)
# Services say so with a 400, which is no fault of the question, and with others that waiting does not help.
OF_THE_ACCOUNT = re.compile(
    r"credit balance is too low|insufficient (?:account )?balance"
    r"|api[ _-]?key (?:is )?(?:not valid|not found|expired|invalid)|(?:invalid|incorrect) api[ _-]?key",
    re.IGNORECASE,
)
# llama.cpp has said so with a 500 (https://github.com/ggml-org/llama.cpp/pull/15780).
TOO_LONG = frozenset(("exceed_context_size_error", "context_length_exceeded"))
DELAY = re.compile(r"(\d{1,6}(?:\.\d{1,9})?)s")
# What came in the stead of an answer, under status 200.
WEB_PAGE = Complaint(name="web_page")
NO_ANSWER = Complaint(name="no_answer")
OURS = {
    WEB_PAGE: "the model's service sent a web page instead of an answer",
    NO_ANSWER: "the model's service sent something that is no answer",
}
TEXTS = (
    *("message", "detail", "msg", "error_msg", "error_message", "status_msg", "error", "errors", "reason", "title"),
    "details",
)
NAMES = ("code", "type", "error_type", "status", "error")
STATUSES = ("code", "status", "status_code", "statusCode", "error_code", "http_code", "http_status")
WELL = ("", "0", "ok", "success", "succeeded")  # what they say where nothing is wrong
FAILED = ("error", "fail", "failed", "failure")  # what `status` says of an error, and not of how far something is


def told(status: int | None, complaint: Complaint | None, key: str = "") -> str:
    """Say what happened in our words, with what may be passed on of theirs.

    Args:
        status: Of the answer, where it was an HTTP error.
        complaint: What the service says, if anything.
        key: Our key, which no text may have in it.
    """
    about = status or (complaint.status if complaint else None)
    begun = f"the model's service answered {status}" if status else "the model's service reported an error"
    if status in CREDENTIALS:  # such an answer may repeat the key
        return f"{begun}: it does not take our credentials"
    if complaint is None or complaint in OURS:
        return OURS.get(complaint, begun) if complaint else begun
    is_about_request = about in ABOUT_THE_REQUEST or complaint.name in TOO_LONG
    if is_about_request and complaint.text and not is_about_account(complaint):
        return f"{begun}: {_cleaned(complaint.text, key)[:LONGEST_TEXT]}"
    return f"{begun} ({complaint.name})" if complaint.name else begun


def is_about_account(complaint: Complaint | None) -> bool:
    """Tell whether the complaint is of our key or of what our account has left, whatever its status."""
    return complaint is not None and OF_THE_ACCOUNT.search(complaint.text or "") is not None


def _cleaned(text: str, key: str) -> str:
    text = without_halves(text.replace("\x00", ""))
    return SECRET.sub("***", text.replace(key, "***") if len(key) > 3 else text)


def complaint_in(value: Any, *, is_error: bool = False, is_inner: bool = False) -> Complaint | None:
    """Find a complaint in a JSON object; None where it is none, as an empty `error` beside the text is none.

    Args:
        value: What the service sent.
        is_error: It is one, by its status or the name of its event.
        is_inner: It stands in a choice, where nothing but `error` is one.
    """
    if not isinstance(value, dict):
        return Complaint(text=value) if is_error and isinstance(value, str) and value.strip() else None
    error = value.get("error")
    if _says_something(error):
        return _read(error, beside=value)
    if _is_code_of_error("status_code", _inner(value, "base_resp", "status_code")):  # MiniMax has it in every chunk
        return _read(value["base_resp"], beside={})
    is_error = is_error or value.get("object") in ("error", "Error") or value.get("type") == "error"
    if is_inner or "choices" in value or not (is_error or _looks_like_one(value)):
        return None
    return _read(value, beside={})


def _says_something(error: Any) -> bool:
    return any(map(_says_something, error.values())) if isinstance(error, dict) else bool(error)


def _looks_like_one(value: dict[str, Any]) -> bool:
    """Tell by its fields: FastAPI's `detail`, a list of errors, or a message with the code of one."""
    if "detail" in value or _says_something(value.get("errors")):
        return True
    has_text = any(isinstance(value.get(name), str) for name in ("message", "msg", "error_msg", "error_message"))
    return has_text and any(_is_code_of_error(name, value.get(name)) for name in STATUSES)


def _is_code_of_error(name: str, code: Any) -> bool:
    """Tell a code of an error from one that says that all is well, or how far something is."""
    if isinstance(code, bool) or not isinstance(code, int | str):
        return False
    word = str(code).strip().lower()
    if word.isdigit() or name != "status":
        return word not in WELL and not re.fullmatch("[1-3][0-9]{2}", word)
    return word in FAILED


def _inner(value: dict[str, Any], outer: str, inner: str) -> Any:
    held = value.get(outer)
    return held.get(inner) if isinstance(held, dict) else None


def _read(error: Any, beside: dict[str, Any]) -> Complaint:
    fields = list(_fields(error))
    # The word may stand beside the text of an error that is a text; not `object`, which says no more than that.
    words = [word for name in NAMES for at in (*fields, beside) if isinstance(word := at.get(name), str)]
    numbers = [str(at.get(name)) for name in STATUSES for at in (*fields, beside)]
    return Complaint(
        status=next((int(number) for number in numbers if STATUS.fullmatch(number)), None),
        name=next((word for word in words if NAME.fullmatch(word)), None),
        text=_text_of(error),
        wait_s=next(map(float, _delays([*fields, beside])), None),
    )


def _delays(fields: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the seconds that a model still loads, or that Google's `RetryInfo` asks for; it sends no `Retry-After`."""
    for seconds in (field.get("estimated_time") for field in fields):
        if isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 < seconds < 1e6:
            yield str(seconds)
    for details in (field.get("details") for field in fields):
        for each in details if isinstance(details, list) else []:
            delay = each.get("retryDelay") if isinstance(each, dict) else None
            if isinstance(delay, str) and (found := DELAY.fullmatch(delay)):
                yield found[1]


def _fields(error: Any) -> Iterator[dict[str, Any]]:
    """Yield the objects of an error, the outer one first: some services put one into another, also as a text."""
    if isinstance(error, dict):
        yield error
        yield from _fields(_unpacked(_inner(error, "metadata", "raw")))
        for name in TEXTS:
            yield from _fields(_unpacked(error.get(name)))
    elif isinstance(error, list):
        for each in error[:3]:
            yield from _fields(each)


def _text_of(error: Any) -> str | None:
    error = _unpacked(error)
    if isinstance(error, str):
        return error.strip() or None
    if isinstance(error, list):
        return "; ".join(filter(None, map(_text_of, error[:3]))) or None
    if not isinstance(error, dict):
        return None
    texts = (_inner(error, "metadata", "raw"), *map(error.get, TEXTS))  # OpenRouter's own text says nothing
    text = next((text for each in texts if (text := _text_of(each))), None)
    where = error.get("loc")
    return f"{text}: {'.'.join(map(str, where))}" if text and isinstance(where, list) else text


def _unpacked(value: Any) -> Any:
    """Return the JSON that a text holds, as Mistral's and LiteLLM's messages do; else the value."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        with suppress(ValueError, RecursionError):
            return json.loads(value)
    return value
