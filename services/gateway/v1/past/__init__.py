"""What a request goes on from: the session of a history, or the turn of a response and the way to it"""
