"""`/sim`: play the marketplace by HTTP, switch faults on, see what was sent and asked"""
