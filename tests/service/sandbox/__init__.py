"""The sandbox as its callers see it, over HTTP"""
