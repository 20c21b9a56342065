"""The messages of a session: read page by page, exported, counted, judged, and stored by clients themselves"""
