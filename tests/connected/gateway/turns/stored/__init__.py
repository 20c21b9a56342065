"""A turn's row: claimed, counted, read, withdrawn; what is known of its session's past by it"""
