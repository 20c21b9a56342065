"""`/v1`: what any client of OpenAI's asks, as a session's turns, answered in OpenAI's words"""
