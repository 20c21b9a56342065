"""`./run` and what it starts: real servers, in a project of their own"""
