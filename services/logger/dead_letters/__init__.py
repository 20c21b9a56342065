"""Messages that nobody could process: what can be known of them, whose they are, and their rows"""
