"""What models do in numbers: their calls, one by one and compared."""
