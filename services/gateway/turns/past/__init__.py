"""What was said in a session before the question, with its texts or without, and what the session keeps of it"""
