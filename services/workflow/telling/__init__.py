"""Tell the chat what happened to its trip, and in which words"""
