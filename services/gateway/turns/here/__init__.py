"""Turns that this gateway runs: each one's task, its rounds with the model, its buffer, its lease"""
