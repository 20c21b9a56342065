"""Avinode over HTTP: REST and webhooks for the broker's system; a page, and `/sim`, to play operator."""
