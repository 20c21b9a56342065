"""Avinode's webhooks: who is told, what is owed to whom, and the courier who posts it"""
