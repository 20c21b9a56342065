"""Avinode's REST API: its routes, and what a call passes before them"""
