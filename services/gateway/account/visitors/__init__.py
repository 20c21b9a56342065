"""Who has no account: their cookie, and their link to the user they become"""
