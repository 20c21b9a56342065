"""One-time login links, and the browser sessions that they open"""
