"""The names of all tools, as files of helpers have them; a test keeps them true."""

TOOL_NAMES = frozenset(("create_trip", "trip_status", "list_quotes", "prepare_proposal"))
