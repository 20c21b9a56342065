"""What the chat is to be told: quotes, proposals that were sent, notes; and whether it was"""
