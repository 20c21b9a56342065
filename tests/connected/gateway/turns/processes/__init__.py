"""Turns of gateways that are processes: two of them, many streams, a new version, clocks that differ"""
