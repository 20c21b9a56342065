"""The sandbox's own errors; each outside system maps them to the shape its callers know."""


class SandboxError(Exception):
    """A caller asked the sandbox for something it can't do."""
