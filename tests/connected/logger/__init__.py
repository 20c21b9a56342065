"""The logger on a real database, with its own role, and as processes"""
