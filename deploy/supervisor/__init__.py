"""`./run`: the venv, private servers and supervised services on a bare machine. Standard library only.

It runs before anything is installed, on the system's own Python, so it imports no package and not `shared`.
"""
