"""The tagger's pure modules"""
