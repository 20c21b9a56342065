"""What each request meets first and each answer last: one middleware, what it asks, and what it adds"""
