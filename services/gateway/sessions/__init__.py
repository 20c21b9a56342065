"""Sessions and their messages: chat.* united with the turns that are not stored yet"""
