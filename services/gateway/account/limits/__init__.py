"""How often who may, and who waits for whom"""
