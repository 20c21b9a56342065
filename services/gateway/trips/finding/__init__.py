"""Which trips a list shows: by filters and marks, those of everybody, and sessions that are about none yet"""
