"""Read what a client of OpenAI's asks for, whichever way it asks, down to the claim of its turn; it knows no store"""
