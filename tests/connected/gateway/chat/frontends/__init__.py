"""Chats as frontends have them: by curl, by useChat, and on the pages of the plans"""
