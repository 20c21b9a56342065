"""A write that another service stores: publish it, and wait until it can be read"""
