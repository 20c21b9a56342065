"""The orders of sessions as rows, the fields that users set, and the tombstones of what they deleted"""
