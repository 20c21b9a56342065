"""The model's service: call it, read what it streams, say how that ended, measure it"""
