"""The logger's pure modules"""
