"""Outcomes, and a look for those that were lost -> what changed, told to whoever listens"""
