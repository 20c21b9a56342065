"""What an earlier release has left: its broker, its turns, consumers that do not know a type yet"""
