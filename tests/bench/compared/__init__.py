"""With what we are compared: others' gateways, and the usual way to store a message"""
