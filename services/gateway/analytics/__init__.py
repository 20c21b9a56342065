"""What models do in numbers: their calls, one by one, from turns and from outside, and compared."""
