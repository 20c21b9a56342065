"""What Avinode does to its callers: it is busy, refuses, answers amiss or of something else"""
