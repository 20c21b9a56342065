"""The model's service: call it, read what it streams, measure it"""
