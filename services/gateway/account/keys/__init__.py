"""API keys: made, checked, shown and revoked"""
