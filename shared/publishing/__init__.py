"""An event, or an outcome, from a service to the broker's disk"""
