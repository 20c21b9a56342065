"""Ask a question of an upstream: which one, how often, and what its failures mean"""
