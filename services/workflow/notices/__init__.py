"""Work the notices of Avinode that are kept: which wait for one another, and what becomes of each"""
