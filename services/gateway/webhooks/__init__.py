"""Avinode's notices -> WebhookReceived"""
