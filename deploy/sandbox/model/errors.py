"""What can be wrong with a request to the model, in OpenAI's error shape."""

from deploy.sandbox.errors import SandboxError


class BadModelRequestError(SandboxError):
    """The request is not one a model can answer."""

    status = 400

    def __init__(self, message: str, param: str | None = None, code: str = "invalid_request") -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class UnreadableDirectiveError(BadModelRequestError):
    """A known directive has an argument of the wrong form."""

    def __init__(self, message: str) -> None:
        super().__init__(f"Sandbox directive: {message}.", "messages", "invalid_directive")


def openai_error(message: str, status: int, param: str | None, code: str) -> dict[str, object]:
    """Shape an error as OpenAI does."""
    return {"error": {"message": message, "type": _error_type(status), "param": param, "code": code}}


def _error_type(status: int) -> str:
    if status >= 500:
        return "server_error"
    return {401: "authentication_error", 429: "rate_limit_error"}.get(status, "invalid_request_error")
