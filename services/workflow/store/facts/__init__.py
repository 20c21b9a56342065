"""What Avinode says of a trip: which to read next, its rows, and what follows from them"""
