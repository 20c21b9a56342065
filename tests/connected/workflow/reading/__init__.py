"""Notices and readings, whatever their order, number and gaps; and when a trip is read again"""
