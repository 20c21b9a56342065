"""The HTTP server below ASGI: sockets, what comes and goes on them, and how long anybody is waited for"""
