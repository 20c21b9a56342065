"""Change one session or many, or delete them, and know whether that stands"""
