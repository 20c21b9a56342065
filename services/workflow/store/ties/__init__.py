"""Which sessions are about which trip, from whom one was taken, and which rows are the same trip at Avinode"""
