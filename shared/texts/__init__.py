"""What others wrote, read leniently, flattened or cut"""
