"""Avinode's notices, and those of other senders -> WebhookReceived"""
