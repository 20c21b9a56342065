"""Traces as they are read: listed, filtered, one by one; stored ones, and those of turns that are not stored yet"""
