"""Proposals: what users did to them, the mails that are to be sent, the trip that one completes"""
