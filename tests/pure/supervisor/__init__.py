"""What the supervisor decides before it starts anything"""
