"""What a process tells of itself: metrics with their alerts, spans, and those of others"""
