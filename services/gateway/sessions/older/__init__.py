"""The paths and spellings of older clients"""
