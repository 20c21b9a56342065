"""How a session begins, other than by its first question: empty, with a helper's words, from a template, as a fork"""
