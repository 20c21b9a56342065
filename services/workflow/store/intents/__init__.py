"""What is to be done at Avinode, committed before it is tried: requests and cancellations, and what became of each"""
