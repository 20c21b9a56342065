"""Keep a set of processes alive, stop them in order, and take commands meanwhile"""
