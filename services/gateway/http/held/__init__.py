"""How much of what is large is held at once: bodies that come, and whatever else asks for room"""
