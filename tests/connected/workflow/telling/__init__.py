"""What is told into the chat, and proposals with the mails that carry them"""
