"""The rows of `gateway.turns`: claim, read, write, end and drop them; no broker and no model"""
