"""MessagePosted, MessageAnswered, SessionOpened, SessionChanged -> chat.* -> Stored; `dead` -> chat.dead_letters"""
