"""Tell of turns: publish their events, see that they are stored, and tell again what their owners did not"""
