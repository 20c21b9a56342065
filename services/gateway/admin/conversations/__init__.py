"""Everybody's sessions and messages, and who of the administrators has read them"""
