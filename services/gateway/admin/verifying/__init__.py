"""Recount what follows from other rows, and tell of what differs"""
