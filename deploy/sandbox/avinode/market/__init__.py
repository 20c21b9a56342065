"""The marketplace: its trips, its operators, what one may do in it and what it refuses; no I/O"""
