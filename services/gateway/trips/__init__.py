"""Trips: TripRequested, TripAttached -> workflow.* -> what a user sees of a trip"""
