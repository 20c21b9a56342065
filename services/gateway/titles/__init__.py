"""A session's first complete answer -> TITLE_MODEL -> SessionTitled"""
