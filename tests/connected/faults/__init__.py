"""A whole stack while its parts are killed, away, or given new passwords"""
