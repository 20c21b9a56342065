"""The workflow's pure modules"""
