"""Turns that other gateways run: asked of them, mirrored for who follows them here, ended where their owner is gone"""
