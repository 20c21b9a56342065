"""What a stack is made of: its services, its secrets, and the outside systems or the sandbox in their place"""
