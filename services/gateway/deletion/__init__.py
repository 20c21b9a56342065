"""DELETE -> gateway.deletions, gateway.erasures -> SessionDeleted, UserErased; and what it had here goes"""
