"""What waits at the broker, now and in the last hour"""
