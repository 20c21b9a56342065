"""Who there is, how much each may do, and whom that refused"""
