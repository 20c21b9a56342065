"""What every Tripthread service stands on; it imports no service."""
