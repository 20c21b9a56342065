"""Deleted sessions and erased users: nothing of theirs is acted upon, and then it goes"""
