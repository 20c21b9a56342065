"""Messages that could not be processed: read, count, send again, discard"""
