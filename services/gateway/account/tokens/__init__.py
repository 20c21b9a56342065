"""What signed tokens say, ours and an identity provider's"""
