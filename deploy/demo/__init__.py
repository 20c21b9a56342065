"""`./run demo`: a charter conversation from the first word to a revised quote, shown as it happens."""
