"""MessagePosted, MessageAnswered -> chat.sessions, chat.messages, chat.traces -> Stored; `dead` -> chat.dead_letters"""
