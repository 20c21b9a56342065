"""What the marketplace refuses, before a face turns it into an answer."""

from deploy.sandbox.errors import SandboxError


class UnknownIdError(SandboxError):
    """Nothing has this id."""


class RefusedError(SandboxError):
    """The state of the trip does not allow this."""


class InvalidInputError(SandboxError):
    """The input is not what is expected."""

    def __init__(self, message: str, path: str | None = None, *, is_missing: bool = False) -> None:
        super().__init__(message)
        self.path = path
        self.is_missing = is_missing
