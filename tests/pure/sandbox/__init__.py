"""The sandbox's pure modules: the simulated market and the simulated model"""
