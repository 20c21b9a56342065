"""Avinode as the workflow sees it: a client that is polite, and readers of what it answers."""
