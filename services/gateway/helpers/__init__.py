"""Helpers: configured assistants, with instructions for the model and what frontends show of them"""
