"""A queue's messages, from their delivery to their acknowledgement, whatever happens in between"""
