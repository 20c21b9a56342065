"""What an upstream answers, from bytes to what they say, whatever its service makes of the protocol"""
