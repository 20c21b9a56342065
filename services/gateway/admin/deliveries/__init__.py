"""What outside systems posted, and what became of it"""
