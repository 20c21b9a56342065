"""Messages, openings, changes, forks, feedback -> chat.* -> Stored; `dead` -> chat.dead_letters"""
