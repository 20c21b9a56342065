"""The rows of chat.*: what is sent for them, and, but for those of messages, the statements that write them"""
