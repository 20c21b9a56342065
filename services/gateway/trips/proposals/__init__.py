"""Proposals: what may be said of them, how they are read and shown, and how they come to their customers"""
