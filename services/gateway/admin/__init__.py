"""What could not be processed: chat.dead_letters, and what operators decide about it"""
