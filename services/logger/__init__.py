"""Messages, openings, changes, feedback -> chat.* -> Stored; `dead` -> chat.dead_letters"""
